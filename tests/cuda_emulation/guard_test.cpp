// Device memory that host code cannot access.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "kernels/cuda/device/launch.h"
#include "tests/cuda_emulation/platform.h"
#include "tests/cuda_emulation/stream.h"

namespace lockstep {
namespace {

constexpr int kValues = 128;  // 512 bytes, so that the memory ends where its pages end

struct StoreParams {
  int* to;
  int i, value;
};
void store(StoreParams p) { p.to[p.i] = p.value; }

class GuardedMemory : public testing::Test {
 protected:
  GuardedMemory() {
    cuda_emulation::set_platform({.guard = true});
    CUDA_CHECK(cudaSetDevice(0));
    CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&device_), kValues * sizeof(int)));
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  ~GuardedMemory() override {
    CUDA_CHECK(cudaStreamDestroy(stream_));
    CUDA_CHECK(cudaFree(device_));
    cuda_emulation::set_platform({});
  }
  void launch_store(int i, int value) {
    cuda::launch(store, dim3(1), 1, stream_, StoreParams{device_, i, value});
  }
  int fetch(int i) const {
    int value = 0;
    CUDA_CHECK(cudaMemcpy(&value, device_ + i, sizeof value, cudaMemcpyDeviceToHost));
    return value;
  }

  volatile int sink_ = 0;
  int* device_ = nullptr;
  cudaStream_t stream_ = nullptr;
};
using GuardedMemoryDeathTest = GuardedMemory;

TEST_F(GuardedMemory, WorkOfStreamsReadsAndWritesIt) {
  launch_store(3, 17);
  CUDA_CHECK(cudaMemsetAsync(device_, 1, 4, stream_));
  EXPECT_EQ(fetch(0), 0x01010101);
  EXPECT_EQ(fetch(3), 17);
  EXPECT_EQ(fetch(4), -1);
}

TEST_F(GuardedMemoryDeathTest, HostCodeThatReadsItTraps) {
  EXPECT_DEATH(sink_ = device_[3],
               "host code accesses device memory: byte 12 of an allocation of "
               "512 bytes");
}

TEST_F(GuardedMemoryDeathTest, HostCodeThatWritesItTraps) {
  launch_store(3, 17);
  EXPECT_DEATH(device_[0] = 1, "host code accesses device memory: byte 0 of");
}

TEST_F(GuardedMemoryDeathTest, AKernelThatLeavesAnAllocationTraps) {
  EXPECT_DEATH(launch_store(kValues, 1), "beyond an allocation of device memory: byte 512 of");
}

TEST_F(GuardedMemoryDeathTest, TheGuardCanBeSwitchedAtAnyTime) {
  cuda_emulation::set_platform({});
  device_[3] = 5;
  EXPECT_EQ(device_[3], 5);
  cuda_emulation::set_platform({.guard = true});
  EXPECT_DEATH(sink_ = device_[3], "host code accesses device memory");
}

// The first thread is inside a piece of work while the second one begins and ends its own.
TEST_F(GuardedMemory, ItIsAccessibleWhileAnyThreadRunsWork) {
  cudaStream_t other = nullptr;
  CUDA_CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  std::atomic<bool> inside = false, other_done = false;
  std::thread rank([&] {
    stream_->run([&] {
      inside = true;
      while (!other_done) std::this_thread::yield();
      device_[7] = 70;
      return true;
    });
  });
  while (!inside) std::this_thread::yield();
  cuda::launch(store, dim3(1), 1, other, StoreParams{device_, 8, 80});
  other_done = true;
  rank.join();
  EXPECT_EQ(fetch(7), 70);
  EXPECT_EQ(fetch(8), 80);
  CUDA_CHECK(cudaStreamDestroy(other));
}

}  // namespace
}  // namespace lockstep
