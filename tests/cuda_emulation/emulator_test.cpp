// The emulator itself: what a GPU would do right it does right, and what a GPU would hang or fault
// on it reports.
#include "tests/cuda_emulation/emulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "tests/support/random.h"

namespace lockstep {
namespace {

using cuda::kAllLanes;
using cuda_emulation::KernelFault;
using cuda_emulation::run_grid;
using ::testing::HasSubstr;
using testing::SeededRandom;
using ::testing::ThrowsMessage;

int lane() { return static_cast<int>(threadIdx.x % 32); }

TEST(Emulator, EveryThreadOfTheGridRunsOnceWithItsIndices) {
  std::vector<int> n_runs(3 * 2 * 2 * 40);
  run_grid(dim3(3, 2, 2), dim3(20, 2), [&] {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    ++n_runs[block * 40 + threadIdx.y * blockDim.x + threadIdx.x];
  });
  EXPECT_EQ(n_runs, std::vector<int>(n_runs.size(), 1));
}

TEST(Emulator, SharedMemoryIsSeenByTheBlockAfterABarrier) {
  std::vector<int> out(64);
  run_grid(dim3(1), dim3(64), [&] {
    __shared__ int values[64];
    values[threadIdx.x] = static_cast<int>(threadIdx.x);
    __syncthreads();
    out[threadIdx.x] = values[63 - threadIdx.x];
  });
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], 63 - i);
}

TEST(Emulator, SharedMemoryThatABlockHasNotWrittenHoldsNans) {
  std::vector<float> out(3);
  run_grid(dim3(3), dim3(1), [&] {
    __shared__ float value;
    out[blockIdx.x] = value;
    value = 1.0f;
  });
  EXPECT_THAT(out, ::testing::Each(::testing::IsNan()));
}

template <int n>
void read_shared_memory(std::vector<float>& out) {
  __shared__ float values[n];
  out[blockIdx.x] = values[n - 1];
  values[n - 1] = 1.0f;
}

TEST(Emulator, SharedMemoryOfATemplateHoldsNansToo) {
  std::vector<float> out(3);
  run_grid(dim3(3), dim3(1), [&] { read_shared_memory<5>(out); });
  EXPECT_THAT(out, ::testing::Each(::testing::IsNan()));
}

// Both kernels wait for each other in the middle, then read what they have written before.
TEST(Emulator, TheGridsOfTwoThreadsRunAtOnceWithSharedMemoryOfTheirOwn) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::atomic<int> n_arrived = 0;
  std::vector<int> read(2);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      run_grid(dim3(1), dim3(1), [&] {
        __shared__ int mine;
        mine = rank + 1;
        ++n_arrived;
        while (n_arrived < 2 && std::chrono::steady_clock::now() < until) {
          std::this_thread::yield();
        }
        read[static_cast<size_t>(rank)] = mine;
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(std::chrono::steady_clock::now(), until) << "the kernels did not meet";
  EXPECT_EQ(read, (std::vector<int>{1, 2}));
}

TEST(Emulator, ThreadsThatHaveEndedDoNotHoldABarrier) {
  int n_past = 0;
  run_grid(dim3(1), dim3(64), [&] {
    if (threadIdx.x >= 40) return;
    __syncthreads();
    ++n_past;
  });
  EXPECT_EQ(n_past, 40);
}

TEST(Emulator, ShufflesExchangeWithinTheirMask) {
  std::vector<int> xored(64), first(64), any(64);
  run_grid(dim3(1), dim3(64), [&] {
    const int mine = static_cast<int>(threadIdx.x) * 10;
    xored[threadIdx.x] = __shfl_xor_sync(kAllLanes, mine, 5);
    const unsigned half = lane() < 16 ? 0x0000ffffu : 0xffff0000u;
    first[threadIdx.x] = __shfl_sync(half, mine, lane() < 16 ? 0 : 16);
    any[threadIdx.x] = __any_sync(half, threadIdx.x == 3 ? 1 : 0);
  });
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(xored[static_cast<size_t>(i)], (i ^ 5) * 10);
    EXPECT_EQ(first[static_cast<size_t>(i)], i / 16 * 160);
    EXPECT_EQ(any[static_cast<size_t>(i)], i < 16);
  }
}

TEST(Emulator, Dp4aMultipliesSignedBytes) {
  SeededRandom random(1);
  for (int i = 0; i < 1000; ++i) {
    int8_t a[4], b[4];
    int expected = 1000;
    for (int j = 0; j < 4; ++j) {
      a[j] = static_cast<int8_t>(random.integer(-128, 127));
      b[j] = static_cast<int8_t>(random.integer(-128, 127));
      expected += a[j] * b[j];
    }
    int wa, wb;
    std::memcpy(&wa, a, 4);
    std::memcpy(&wb, b, 4);
    EXPECT_EQ(__dp4a(wa, wb, 1000), expected);
  }
}

void run(const std::function<void()>& body) { run_grid(dim3(2), dim3(64), body); }

TEST(Emulator, ABarrierThatSomeThreadsNeverReachIsReported) {
  const auto body = [] {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __shfl_xor_sync(kAllLanes, 1, 1);
      if (threadIdx.x == 40) __syncwarp(0x3u << 8);  // lane 9 never comes
    }
  };
  EXPECT_THAT([&] { run(body); },
              ThrowsMessage<KernelFault>(HasSubstr("threads wait for others that never come: "
                                                   "thread 0 at __syncthreads")));
}

TEST(Emulator, AShuffleWithoutAllLanesOfItsMaskIsReported) {
  EXPECT_THAT(
      [] {
        run([] {
          if (lane() % 2 == 0) __shfl_xor_sync(kAllLanes, 1, 1);
        });
      },
      ThrowsMessage<KernelFault>(HasSubstr("thread 0 at __shfl_xor_sync")));
  EXPECT_THAT([] { run([] { __shfl_xor_sync(0xffu, 1, 1); }); },
              ThrowsMessage<KernelFault>(HasSubstr("a lane outside its own mask")));
}

TEST(Emulator, ATrapEndsTheLaunchAndTheNextOneRuns) {
  EXPECT_THAT([] { run([] { cuda::device_check(threadIdx.x != 7); }); },
              ThrowsMessage<KernelFault>(HasSubstr("trap: device_check")));
  int n = 0;
  run([&] { ++n; });
  EXPECT_EQ(n, 128);
}

TEST(Emulator, ALaunchThatADeviceRefusesIsReported) {
  const auto launch = [](dim3 grid, dim3 block) {
    return [=] {
      const cudaLaunchConfig_t config{grid, block};
      cudaLaunchKernelEx(
          &config, +[](int) {}, 0);
    };
  };
  EXPECT_THAT(launch({1, 65536}, {1}), ThrowsMessage<KernelFault>(HasSubstr("1 x 65536 x 1")));
  EXPECT_THAT(launch({1, 1, 65536}, {1}), ThrowsMessage<KernelFault>(HasSubstr("1 x 1 x 65536")));
  EXPECT_THAT(launch({1}, {32, 33}), ThrowsMessage<KernelFault>(HasSubstr("32 x 33 x 1 threads")));
  EXPECT_THAT(launch({1}, {0}), ThrowsMessage<KernelFault>(HasSubstr("0 x 1 x 1 threads")));
  EXPECT_THAT(launch({0}, {1}), ThrowsMessage<KernelFault>(HasSubstr("a grid without blocks")));
  EXPECT_NO_THROW(launch({65536, 1, 2}, {1})());
}

TEST(Emulator, TheThreadOrderIsTheTestsChoice) {
  const auto first_to_run = [](cuda_emulation::ThreadOrder order) {
    cuda_emulation::set_options({.order = order, .deleted_barrier = {}});
    std::vector<unsigned> threads;
    run_grid(dim3(1), dim3(8), [&] { threads.push_back(threadIdx.x); });
    cuda_emulation::set_options({});
    return threads;
  };
  using cuda_emulation::ThreadOrder;
  EXPECT_EQ(first_to_run({ThreadOrder::kForward}), (std::vector<unsigned>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(first_to_run({ThreadOrder::kReverse}), (std::vector<unsigned>{7, 6, 5, 4, 3, 2, 1, 0}));
  EXPECT_EQ(first_to_run({ThreadOrder::kSeeded, 3}), first_to_run({ThreadOrder::kSeeded, 3}));
  EXPECT_NE(first_to_run({ThreadOrder::kSeeded, 3}), first_to_run({ThreadOrder::kSeeded, 4}));
}

}  // namespace
}  // namespace lockstep
