// The CUDA kernels, run by the emulator, against kernels/reference: the same bits, in whatever
// order the threads of a block get to run.
#include <gtest/gtest.h>

#include <map>

#include "bench/gpu/bit_cases.h"
#include "kernels/cuda/device/devices.h"
#include "kernels/kv_layout.h"
#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/platform.h"

namespace lockstep {
namespace {

using cuda_emulation::BarrierSite;
using cuda_emulation::KernelFault;
using cuda_emulation::Options;
using cuda_emulation::ThreadOrder;
using gpu_check::BitCase;
using gpu_check::Difference;
using gpu_check::Output;

const std::vector<BitCase>& cases() {
  static const std::vector<BitCase> all = all_bit_cases(gpu_check::Sizes::kSmall);
  return all;
}

// Of a case, once per process.
const std::vector<Output>& expected(size_t i) {
  static std::vector<std::vector<Output>> known(cases().size());
  if (known[i].empty()) {
    gpu_check::ReferenceSide reference;
    known[i] = cases()[i].run(reference);
  }
  return known[i];
}

class EmulatedGpu {
 public:
  // What differs from the reference in case i.
  Difference run(size_t i) {
    gpu_check::DeviceSide side(*device_, *stream_);
    return gpu_check::compare(expected(i), cases()[i].run(side));
  }

 private:
  MemoryLedger ledger_;
  std::unique_ptr<Device> device_ = cuda::open_device(0);
  std::unique_ptr<Stream> stream_ = device_->make_stream({.head_dim = kMaxHeadDim}, ledger_);
};

std::string order_name(const testing::TestParamInfo<ThreadOrder>& info) {
  constexpr const char* kNames[] = {"Forward", "Reverse", "Seeded"};
  return kNames[info.param.kind];
}

class ThreadOrders : public testing::TestWithParam<ThreadOrder> {};
INSTANTIATE_TEST_SUITE_P(Orders, ThreadOrders,
                         testing::Values(ThreadOrder{ThreadOrder::kForward},
                                         ThreadOrder{ThreadOrder::kReverse},
                                         ThreadOrder{ThreadOrder::kSeeded, 20261121}),
                         order_name);

TEST_P(ThreadOrders, EveryKernelGivesTheBitsOfTheReference) {
  cuda_emulation::set_options({.order = GetParam(), .deleted_barrier = {}});
  const bool is_first = GetParam().kind == ThreadOrder::kForward;
  cuda_emulation::set_platform({.lazy = !is_first, .guard = !is_first});
  EmulatedGpu gpu;
  for (size_t i = 0; i < cases().size(); ++i) {
    const Difference difference = gpu.run(i);
    EXPECT_EQ(difference.n_different, 0)
        << cases()[i].op << ", " << cases()[i].what << ": first " << difference.first;
    EXPECT_GT(difference.n_values, 0);
  }
  cuda_emulation::set_platform({});
}

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
