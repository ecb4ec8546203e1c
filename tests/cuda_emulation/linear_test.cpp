// What the cases of bits_test.cpp do not choose about linear(): when copies arrive, and how much
// scratch a stream has.
#include <emulated_async_copy.h>
#include <gtest/gtest.h>

#include <cmath>

#include "bench/gpu/bit_cases.h"
#include "kernels/cuda/device/devices.h"
#include "kernels/cuda/device/launches.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"
#include "tests/cuda_emulation/emulator.h"

namespace lockstep {
namespace {

using gpu_check::BitCase;
using gpu_check::Difference;
using gpu_check::Output;
using gpu_check::Random;

// A stage of the ring that is filled while somebody still reads it shows only if the copy is early.
TEST(CudaLinear, CopiesThatArriveAtOnceGiveTheSameBits) {
  using cuda_emulation::ThreadOrder;
  MemoryLedger ledger;
  const std::unique_ptr<Device> device = cuda::open_device(0);
  const std::unique_ptr<Stream> stream = device->make_stream({.head_dim = 1}, ledger);
  cuda_emulation::set_early_copies(true);
  int n_cases = 0;
  for (const BitCase& c : gpu_check::linear_cases(gpu_check::Sizes::kSmall)) {
    if (c.op != "linear Q8_0" && c.op != "linear Q5_K") continue;
    gpu_check::ReferenceSide reference;
    const std::vector<Output> expected = c.run(reference);
    for (ThreadOrder::Kind kind : {ThreadOrder::kForward, ThreadOrder::kReverse}) {
      cuda_emulation::set_options({.order = {kind}, .deleted_barrier = {}});
      gpu_check::DeviceSide side(*device, *stream);
      const Difference difference = gpu_check::compare(expected, c.run(side));
      EXPECT_EQ(difference.n_different, 0) << c.what << ": first " << difference.first;
    }
    ++n_cases;
  }
  EXPECT_GE(n_cases, 20);
  cuda_emulation::set_early_copies(false);
  cuda_emulation::set_options({});
}

// 20 rows of 2 leaves with 16 lanes each, 40 tokens.
struct Product {
  static constexpr int64_t kRows = 20, kTokens = 40, kLeaf = 2048, kK = 2 * kLeaf;
  Random random{5};
  std::vector<std::byte> file, packed;
  std::vector<uint8_t> q;
  std::vector<float> scale, sum, y = std::vector<float>(kTokens * kRows, -1.0f);
  std::vector<int32_t> q_sum;

  Product() {
    for (int64_t i = 0; i < kRows * kK / kBlockLen; ++i) {
      BlockQ8_0 block{f32_to_f16(random.normal(0.02f)), {}};
      for (int8_t& v : block.quants) v = static_cast<int8_t>(random.integer(-128, 127));
      const auto* bytes = reinterpret_cast<const std::byte*>(&block);
      file.insert(file.end(), bytes, bytes + sizeof block);
    }
    for (int64_t i = 0; i < kTokens * kK; ++i) {
      q.push_back(static_cast<uint8_t>(random.integer(-127, 127)));
    }
    scale = random.activations(kTokens * kK / kBlockLen);
    sum = scale;
    q_sum.resize(scale.size());
  }

  LinearArgs args(gpu_check::Side& side) {
    LinearArgs args;
    args.weights = {WeightType::kQ8_0, kRows, kK, {2, 0, 2}, nullptr, side.packed_layout()};
    packed.resize(static_cast<size_t>(packed_bytes(args.weights)));
    pack_rows(args.weights, packed.data(), 0, kRows, file.data(),
              source_row_bytes(WeightType::kQ8_0, kK));
    args.weights.data = side.place(packed);
    const int64_t n_blocks = kK / kBlockLen;
    args.x.quantized = {side.in(q, {kTokens, kK}), side.in(scale, {kTokens, n_blocks}),
                        side.in(sum, {kTokens, n_blocks}), side.in(q_sum, {kTokens, n_blocks})};
    args.out = side.out("y", y, {1, kTokens, kRows});
    return args;
  }
};

// From none, where another kernel takes over, to room for all runs of all tokens. What lies behind
// the scratch must stay as it is.
TEST(CudaLinear, ScratchOfAnySizeGivesTheSameBits) {
  Product product;
  gpu_check::ReferenceSide reference;
  linear(product.args(reference), reference.stream());
  const std::vector<Output> expected = reference.outputs();
  MemoryLedger ledger;
  const std::unique_ptr<Device> device = cuda::open_device(0);
  const std::unique_ptr<Stream> stream = device->make_stream({}, ledger);
  const int64_t run_floats = 64 * Product::kRows;  // of a tile of 64 tokens
  for (const int64_t n_runs : {0, 1, 2, 4, 8, 32}) {
    for (const int n_sms : {1, 1000}) {
      Product again;
      gpu_check::DeviceSide side(*device, *stream);
      std::vector<float> scratch(static_cast<size_t>(n_runs * run_floats + 1), 7.0f);
      cuda::linear(again.args(side), {scratch.data(), n_runs * run_floats}, n_sms, nullptr);
      const Difference difference = gpu_check::compare(expected, side.outputs());
      EXPECT_EQ(difference.n_different, 0)
          << n_runs << " runs, " << n_sms << " SMs: first " << difference.first;
      EXPECT_EQ(scratch.back(), 7.0f);
    }
  }
}

TEST(CudaLinearDeathTest, WeightsInTheLayoutOfCpusAreRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Product product;
  MemoryLedger ledger;
  const std::unique_ptr<Device> device = cuda::open_device(0);
  const std::unique_ptr<Stream> stream = device->make_stream({}, ledger);
  gpu_check::DeviceSide side(*device, *stream);
  LinearArgs args = product.args(side);
  args.weights.layout = PackedLayout::kRows;
  EXPECT_DEATH(linear(args, *stream), "kFragments");
  gpu_check::ReferenceSide host;
  LinearArgs on_cpu = product.args(host);
  on_cpu.weights.layout = PackedLayout::kFragments;
  const auto cpu = make_cpu_stream({.isa = Isa::kPortable, .n_threads = 1, .limits = {}}, ledger);
  EXPECT_DEATH(linear(on_cpu, *cpu), "kRows");
}

}  // namespace
}  // namespace lockstep
