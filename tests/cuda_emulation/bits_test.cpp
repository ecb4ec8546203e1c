// The CUDA kernels, run by the emulator, against kernels/reference: the same bits, in whatever
// order the threads of a block get to run.
#include <gtest/gtest.h>

#include "tests/cuda_emulation/emulated_gpu.h"
#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/platform.h"

namespace lockstep {
namespace {

using cuda_emulation::cases;
using cuda_emulation::EmulatedGpu;
using cuda_emulation::ThreadOrder;
using gpu_check::Difference;

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

}  // namespace
}  // namespace lockstep
