// Every __syncthreads() of the CUDA kernels is needed: the emulator leaves out each in turn, and in
// one of three thread orders the results are wrong. Not for sanitized builds: without a barrier a
// kernel may use any index, for which a sanitizer ends the process.
#include <gtest/gtest.h>

#include <map>

#include "tests/cuda_emulation/emulated_gpu.h"
#include "tests/cuda_emulation/emulator.h"

namespace lockstep {
namespace {

using cuda_emulation::BarrierSite;
using cuda_emulation::cases;
using cuda_emulation::EmulatedGpu;
using cuda_emulation::KernelFault;
using cuda_emulation::Options;
using cuda_emulation::ThreadOrder;

// Whether the bits, or the emulator, say that something is wrong in one of these cases.
bool goes_red(const Options& options, const std::vector<size_t>& indices) {
  cuda_emulation::set_options(options);
  EmulatedGpu gpu;
  for (size_t i : indices) {
    try {
      if (gpu.run(i).n_different > 0) return true;
    } catch (const KernelFault&) {
      return true;
    }
  }
  return false;
}

// Every barrier, with the cases in which threads meet at it.
std::map<BarrierSite, std::vector<size_t>> barriers_of_cases() {
  std::map<BarrierSite, std::vector<size_t>> sites;
  EmulatedGpu gpu;
  for (size_t i = 0; i < cases().size(); ++i) {
    cuda_emulation::set_options({});
    gpu.run(i);
    for (const BarrierSite& site : cuda_emulation::barriers_reached()) sites[site].push_back(i);
  }
  return sites;
}

// Removes each barrier in turn: in one of these orders its lack must be seen.
TEST(Barriers, NoneCanBeRemovedUnseen) {
  const auto sites = barriers_of_cases();
  EXPECT_GE(sites.size(), 12u);
  for (const auto& [site, indices] : sites) {
    const bool seen = goes_red({{ThreadOrder::kForward}, site}, indices) ||
                      goes_red({{ThreadOrder::kReverse}, site}, indices) ||
                      goes_red({{ThreadOrder::kSeeded, 1}, site}, indices);
    EXPECT_TRUE(seen) << site.file << ":" << site.line << " is not needed";
  }
  cuda_emulation::set_options({});
}

}  // namespace
}  // namespace lockstep
