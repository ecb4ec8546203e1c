// What would make device memory unsafe stops the device instead; and what is only larger than one
// launch can hold does not show in the bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "bench/gpu/paged_data.h"
#include "common/units.h"
#include "kernels/cuda/attention/spans.cuh"
#include "kernels/cuda/device/cuda_check.h"
#include "kernels/cuda/device/devices.h"
#include "kernels/cuda/device/launches.h"
#include "tests/cuda_emulation/emulator.h"

namespace lockstep {
namespace {

using cuda_emulation::KernelFault;
using gpu_check::DeviceSide;
using gpu_check::PagedData;
using gpu_check::PagedShape;
using gpu_check::Random;
using gpu_check::ReferenceSide;
using gpu_check::Side;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Rows of two sequences, and what attention over them takes.
struct Rows {
  static constexpr int64_t kRows = 6;
  const PagedShape shape{DType::kF16, 16, 2, 2, 32};
  Random random{1};
  PagedData cache{random, shape, 2, 1600};
  std::vector<int32_t> positions{0, 63, 511, 512, 1599, 17}, seqs{0, 0, 0, 0, 0, 1};
  std::vector<float> q = random.activations(kRows * 4 * 32);
  std::vector<float> out = std::vector<float>(q.size(), -1.0f);

  Rows() {
    for (int64_t t = 0; t < 1600; ++t) cache.fill(random, 0, t);
    for (int64_t t = 0; t < 18; ++t) cache.fill(random, 1, t);
  }
  AttentionArgs args(Side& side) {
    AttentionArgs args;
    args.q = side.in(q, {kRows, 4, 32});
    args.kv = cache.place(side);
    args.positions = side.in(positions, {kRows});
    args.seq_of_token = side.in(seqs, {kRows});
    args.block_tables = cache.place_tables(side);
    args.scale = 0.25f;
    args.out = side.out("out", out, {kRows, 4 * 32});
    return args;
  }
};

class CudaFaults : public testing::Test {
 protected:
  // The message of the fault that attention ends in.
  auto attend(Rows& rows) {
    return [this, &rows] {
      DeviceSide side(*device_, *stream_);
      attention(rows.args(side), *stream_);
    };
  }
  MemoryLedger ledger_;
  std::unique_ptr<Device> device_ = cuda::open_device(0);
  std::unique_ptr<Stream> stream_ = device_->make_stream({.head_dim = 32}, ledger_);
};

TEST_F(CudaFaults, APositionBeyondTheBlockTableTraps) {
  Rows rows;
  rows.positions[3] = 1600;  // 100 blocks of 16 hold 0 to 1599
  EXPECT_THAT(attend(rows), ThrowsMessage<KernelFault>(HasSubstr("trap: device_check")));
  rows.positions[3] = -1;
  EXPECT_THAT(attend(rows), ThrowsMessage<KernelFault>(HasSubstr("trap: device_check")));
}

TEST_F(CudaFaults, ASequenceThatIsNotThereTraps) {
  Rows rows;
  rows.seqs[5] = 2;
  EXPECT_THAT(attend(rows), ThrowsMessage<KernelFault>(HasSubstr("trap: device_check")));
}

TEST_F(CudaFaults, ABlockOutsideThePagesTraps) {
  Rows rows;
  DeviceSide side(*device_, *stream_);
  AttentionArgs args = rows.args(side);
  args.kv.n_blocks = 20;  // of 201
  EXPECT_THAT([&] { attention(args, *stream_); },
              ThrowsMessage<KernelFault>(HasSubstr("trap: device_check")));
}

TEST_F(CudaFaults, ASlotOutsideThePagesTraps) {
  Random random(2);
  PagedData cache(random, {DType::kF16, 16, 1, 1, 32}, 1, 16);
  std::vector<float> qkv = random.activations(3 * 32), cos_sin(2 * 16 * 2, 0.5f);
  std::vector<int32_t> position{1}, slot{2 * 16};  // blocks 0 and 1 exist
  const auto store = [&] {
    DeviceSide side(*device_, *stream_);
    float* data = side.place(qkv);
    RopeStoreArgs args;
    args.q = view(data, {1, 1, 32});
    args.k = view(data + 32, {1, 1, 32});
    args.v = view(data + 64, {1, 1, 32});
    args.positions = side.in(position, {1});
    args.slot_mapping = side.in(slot, {1});
    args.cos_sin = side.in(cos_sin, {2, 16, 2});
    args.kv = cache.place(side);
    rope_store(args, *stream_);
  };
  EXPECT_THAT(store, ThrowsMessage<KernelFault>(HasSubstr("trap: device_check")));
  slot[0] = 2 * 16 - 1;
  EXPECT_NO_THROW(store());
  position[0] = 2;
  EXPECT_THAT(store, ThrowsMessage<KernelFault>(HasSubstr("trap: device_check")));
}

TEST_F(CudaFaults, ARowSlotPositionOrBlockThatIsNotThereTraps) {
  const auto faults = [](const auto& run) {
    EXPECT_THAT(run, ThrowsMessage<KernelFault>(HasSubstr("trap: device_check")));
  };
  std::vector<float> x(2 * 8), out(8);
  std::vector<int32_t> index{0}, zero{0}, token_ids(3 * 5), tokens{0};
  std::vector<std::byte> pages(2 * 64);
  const auto gather = [&] {
    DeviceSide side(*device_, *stream_);
    gather_rows({side.in(x, {2, 8}), side.in(index, {1}), side.in(out, {1, 8})}, *stream_);
  };
  const auto resolve = [&](std::vector<int32_t>& slots, std::vector<int32_t>& positions) {
    return [&] {
      DeviceSide side(*device_, *stream_);
      resolve_tokens({side.in(zero, {1}), side.in(slots, {1}), side.in(positions, {1}),
                      side.in(token_ids, {3, 5}), side.in(tokens, {1})},
                     *stream_);
    };
  };
  const auto copy = [&](std::vector<int32_t>& from, std::vector<int32_t>& to) {
    return [&] {
      DeviceSide side(*device_, *stream_);
      const KvPages kv{.data = side.place(pages), .n_blocks = 2, .block_bytes = 64};
      copy_blocks({kv, side.in(from, {1}), side.in(to, {1})}, *stream_);
    };
  };
  EXPECT_NO_THROW(gather());
  EXPECT_NO_THROW(resolve(index, index)());
  EXPECT_NO_THROW(copy(index, index)());
  for (const int32_t outside : {-1, 5}) {
    index[0] = outside;
    faults(gather);
    faults(resolve(index, zero));
    faults(resolve(zero, index));
    faults(copy(index, zero));
    faults(copy(zero, index));
  }
}

// From room for two spans of one row (a pass for every span, a run for every row) to plenty.
TEST(CudaAttention, ScratchOfAnySizeGivesTheSameBits) {
  Rows rows;
  ReferenceSide reference;
  attention(rows.args(reference), reference.stream());
  const auto expected = reference.outputs();
  MemoryLedger ledger;
  const std::unique_ptr<Device> device = cuda::open_device(0);
  const std::unique_ptr<Stream> stream = device->make_stream({}, ledger);
  const int64_t span_floats = 4 * cuda::partial_floats(32);  // of one row's heads
  for (const int64_t n_spans : {2, 3, 5, 8, 13, 100}) {
    Rows again;
    DeviceSide side(*device, *stream);
    std::vector<float> scratch(static_cast<size_t>(n_spans * span_floats), NAN);
    cuda::attention(again.args(side), {scratch.data(), std::ssize(scratch)}, nullptr);
    const auto difference = gpu_check::compare(expected, side.outputs());
    EXPECT_EQ(difference.n_different, 0) << n_spans << " spans, first " << difference.first;
  }
}

TEST(CudaStreamDeathTest, WeightsThatAWideLoadCannotReadAreRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  MemoryLedger ledger;
  const std::unique_ptr<Device> device = cuda::open_device(0);
  const std::unique_ptr<Stream> stream = device->make_stream({}, ledger);
  alignas(16) std::byte data[1024] = {};
  auto* q = reinterpret_cast<uint8_t*>(data);
  auto* scale = reinterpret_cast<float*>(data);
  LinearArgs args;
  args.x.quantized = {view(q, {1, 32}), view(scale, {1, 1}), view(scale, {1, 1}),
                      view(reinterpret_cast<int32_t*>(data), {1, 1})};
  args.weights = {WeightType::kQ8_0, 1, 32, {1, 0, 1}, data + 8, PackedLayout::kFragments};
  args.out = view(scale, {1, 1, 1});
  EXPECT_DEATH(linear(args, *stream), "p.weights");
}

TEST(CudaDevice, MoreMemoryThanThereIsIsAnAnswer) {
  const std::unique_ptr<Device> device = cuda::open_device(3);
  EXPECT_EQ(device->name(), "cuda:3 emulated GPU 3");
  EXPECT_THROW(device->allocate(int64_t{1} << 40, MemoryTag::kKv), std::bad_alloc);
  device->release(device->allocate(1000, MemoryTag::kKv), 1000);
}

TEST(CudaDevice, AStreamBooksItsScratchAndHasNoneWithoutAttention) {
  MemoryLedger ledger;
  const std::unique_ptr<Device> device = cuda::open_device(0);
  const auto collectives_only = device->make_stream({}, ledger);
  EXPECT_STREQ(collectives_only->name(), "cuda:0");
  EXPECT_EQ(ledger.bytes(MemoryTag::kActivations), 0);
  device->make_stream({.head_dim = 128}, ledger).reset();
  EXPECT_EQ(ledger.peak_bytes(MemoryTag::kActivations), 32_MiB);
  EXPECT_EQ(ledger.bytes(MemoryTag::kActivations), 0);
}

// A rank is made by one thread and used by another, whose current device is 0 like any new
// thread's.
TEST(CudaDevice, AnyThreadMayUseADeviceAndNoneTouchesAnother) {
  MemoryLedger ledger;
  std::unique_ptr<Device> device = cuda::open_device(3);
  std::unique_ptr<Stream> stream = device->make_stream({.head_dim = 32}, ledger);
  std::byte* memory = device->allocate(1000, MemoryTag::kKv);
  Rows rows;
  auto side = std::make_unique<DeviceSide>(*device, *stream);
  const AttentionArgs args = rows.args(*side);
  std::thread([&] {
    EXPECT_NO_THROW({
      attention(args, *stream);
      stream->wait();
    });
    EXPECT_EQ(cuda_emulation::devices_used(), std::vector<int>{3});
  }).join();
  std::thread([&] {
    device->release(memory, 1000);
    side.reset();
    stream.reset();
    EXPECT_EQ(cuda_emulation::devices_used(), std::vector<int>{3});
  }).join();
}

TEST(CudaDevice, AnErrorEndsTheProcessWithOneLineAndExitCode70) {
  EXPECT_EXIT(CUDA_CHECK(cudaSetDevice(99)), ::testing::ExitedWithCode(70),
              "^CUDA error on cuda:[0-9]+: invalid device ordinal \\(cudaSetDevice\\(99\\) at [^ "
              "]*:[0-9]+\\); "
              "exiting\n$");
}

TEST(CudaDevice, ALaunchToAStreamOfAnotherDeviceIsReported) {
  const std::unique_ptr<Device> other = cuda::open_device(1);
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  cudaLaunchConfig_t config{};
  config.stream = stream;
  EXPECT_THAT(
      [&] {
        cudaLaunchKernelEx(
            &config, +[](int) {}, 0);
      },
      ThrowsMessage<KernelFault>(HasSubstr("a stream of device 1 by a thread whose")));
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace lockstep
