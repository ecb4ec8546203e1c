// Memory of the emulated devices: what there is of it, and what copies and memsets do to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/cuda/device/cuda_check.h"
#include "tests/cuda_emulation/platform.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;

constexpr uint8_t kUnset = 0xff;  // every byte that nothing has written

class EmulatedMemory : public testing::Test {
 protected:
  EmulatedMemory() {
    cuda_emulation::set_platform({.lazy = true, .device_bytes = 1000});
    CUDA_CHECK(cudaSetDevice(0));
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&device_), kBytes));
    CUDA_CHECK(cudaHostAlloc(reinterpret_cast<void**>(&pinned_), kBytes, cudaHostAllocDefault));
  }
  ~EmulatedMemory() override {
    CUDA_CHECK(cudaFreeHost(pinned_));
    CUDA_CHECK(cudaFree(device_));
    CUDA_CHECK(cudaStreamDestroy(stream_));
    cuda_emulation::set_platform({});
  }

  static constexpr size_t kBytes = 12;
  // Of the current device.
  static size_t free_bytes() {
    size_t free = 0, total = 0;
    CUDA_CHECK(cudaMemGetInfo(&free, &total));
    EXPECT_EQ(total, 1000u);
    return free;
  }
  std::vector<uint8_t> now() const {
    std::vector<uint8_t> bytes(kBytes);
    CUDA_CHECK(cudaMemcpy(bytes.data(), device_, kBytes, cudaMemcpyDeviceToHost));
    return bytes;
  }
  std::vector<uint8_t> finished() const {
    CUDA_CHECK(cudaStreamSynchronize(stream_));
    return now();
  }
  static std::vector<uint8_t> unset() { return std::vector<uint8_t>(kBytes, kUnset); }

  cudaStream_t stream_ = nullptr;
  uint8_t* device_ = nullptr;
  uint8_t* pinned_ = nullptr;
};

TEST_F(EmulatedMemory, WhatIsAllocatedIsNotFree) {
  EXPECT_EQ(free_bytes(), 1000 - kBytes);
  void* more = nullptr;
  CUDA_CHECK(cudaMalloc(&more, 500));
  EXPECT_EQ(free_bytes(), 500 - kBytes);
  CUDA_CHECK(cudaSetDevice(1));
  EXPECT_EQ(free_bytes(), 1000u);
  CUDA_CHECK(cudaFree(more));
  CUDA_CHECK(cudaSetDevice(0));
  EXPECT_EQ(free_bytes(), 1000 - kBytes);
}

TEST_F(EmulatedMemory, ADeviceHasNoMoreThanItsTotal) {
  void *more = nullptr, *rest = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 1000 - kBytes + 1), cudaErrorMemoryAllocation);
  CUDA_CHECK(cudaMalloc(&rest, 1000 - kBytes));
  EXPECT_EQ(free_bytes(), 0u);
  EXPECT_EQ(cudaMalloc(&more, 1), cudaErrorMemoryAllocation);
  CUDA_CHECK(cudaFree(rest));
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
  EXPECT_EQ(properties.totalGlobalMem, 1000u);
}

TEST_F(EmulatedMemory, PinnedMemoryIsTheHosts) {
  void* pinned = nullptr;
  CUDA_CHECK(cudaMallocHost(&pinned, 5000));
  EXPECT_EQ(free_bytes(), 1000 - kBytes);
  CUDA_CHECK(cudaFreeHost(pinned));
}

TEST_F(EmulatedMemory, MemsetsRunInTheirStream) {
  CUDA_CHECK(cudaMemsetAsync(device_ + 1, 0x15, 3, stream_));
  EXPECT_EQ(now(), unset());
  EXPECT_THAT(finished(), ElementsAre(kUnset, 0x15, 0x15, 0x15, kUnset, kUnset, kUnset, kUnset,
                                      kUnset, kUnset, kUnset, kUnset));
}

TEST_F(EmulatedMemory, AMemsetOfRowsLeavesWhatIsBetweenThem) {
  CUDA_CHECK(cudaMemset2DAsync(device_, 5, 7, 2, 3, stream_));
  EXPECT_EQ(now(), unset());
  EXPECT_THAT(finished(),
              ElementsAre(7, 7, kUnset, kUnset, kUnset, 7, 7, kUnset, kUnset, kUnset, 7, 7));
}

TEST_F(EmulatedMemory, ACopyOfRowsHasAPitchAtEitherEnd) {
  std::iota(pinned_, pinned_ + kBytes, uint8_t{0});
  CUDA_CHECK(cudaMemcpy2DAsync(device_, 4, pinned_, 5, 2, 3, cudaMemcpyHostToDevice, stream_));
  EXPECT_EQ(now(), unset());
  pinned_[11] = 99;
  EXPECT_THAT(finished(),
              ElementsAre(0, 1, kUnset, kUnset, 5, 6, kUnset, kUnset, 10, 99, kUnset, kUnset));
}

TEST_F(EmulatedMemory, RowsInPageableMemoryAreReadByTheCall) {
  std::vector<uint8_t> rows{1, 2, 0, 3, 4};
  CUDA_CHECK(cudaMemcpy2DAsync(device_, 6, rows.data(), 3, 2, 2, cudaMemcpyHostToDevice, stream_));
  rows.assign(5, 50);
  EXPECT_THAT(finished(), ElementsAre(1, 2, kUnset, kUnset, kUnset, kUnset, 3, 4, kUnset, kUnset,
                                      kUnset, kUnset));
  CUDA_CHECK(cudaMemcpy2DAsync(rows.data(), 3, device_, 6, 2, 2, cudaMemcpyDeviceToHost, stream_));
  EXPECT_THAT(rows, ElementsAre(1, 2, 50, 3, 4));
}

TEST_F(EmulatedMemory, RowsThatOverlapOrLeaveTheAllocationAreRefused) {
  EXPECT_EQ(cudaMemset2DAsync(device_, 3, 0, 4, 2, stream_), cudaErrorInvalidPitchValue);
  EXPECT_EQ(cudaMemset2DAsync(device_, 5, 0, 3, 3, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(device_, 0, kBytes + 1, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(pinned_, 0, 1, stream_), cudaErrorInvalidValue);
  const auto copy = [&](size_t to_pitch, size_t from_pitch, size_t width) {
    return cudaMemcpy2DAsync(device_, to_pitch, pinned_, from_pitch, width, 3,
                             cudaMemcpyHostToDevice, stream_);
  };
  EXPECT_EQ(copy(1, 4, 2), cudaErrorInvalidPitchValue);
  EXPECT_EQ(copy(4, 1, 2), cudaErrorInvalidPitchValue);
  EXPECT_EQ(copy(5, 4, 3), cudaErrorInvalidValue);
  EXPECT_EQ(copy(4, 5, 3), cudaErrorInvalidValue);
  EXPECT_EQ(copy(4, 4, 4), cudaSuccess);
  EXPECT_EQ(copy(4, 4, 0), cudaSuccess);
  pinned_[0] = 3;
  EXPECT_EQ(finished()[0], 3);
}

}  // namespace
}  // namespace lockstep
