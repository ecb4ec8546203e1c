// Lazy streams: what a host sees that looks too early, or writes too early what queued work reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "kernels/cuda/device/launch.h"
#include "tests/cuda_emulation/counters.h"
#include "tests/cuda_emulation/platform.h"
#include "tests/cuda_emulation/stream.h"

namespace lockstep {
namespace {

using cuda_emulation::Counters;
using cuda_emulation::KernelFault;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int kUnset = -1;  // what memory holds that nothing has written

struct AddParams {
  int* values;
  int addend;
};
void add(AddParams p) { p.values[threadIdx.x] += p.addend; }
void copy_first(AddParams p) { p.values[1] = p.values[0]; }
void fault(AddParams) { __trap(); }

// Two values in device memory and two in pinned host memory, a stream, an event.
class LazyStreams : public testing::Test {
 protected:
  LazyStreams() {
    cuda_emulation::set_platform({.lazy = true});
    CUDA_CHECK(cudaSetDevice(0));
    CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&device_), kBytes));
    CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&pinned_), kBytes));
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    CUDA_CHECK(cudaStreamCreateWithFlags(&other_, cudaStreamNonBlocking));
    CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  }
  ~LazyStreams() override {
    CUDA_CHECK(cudaEventDestroy(event_));
    CUDA_CHECK(cudaStreamDestroy(other_));
    CUDA_CHECK(cudaStreamDestroy(stream_));
    CUDA_CHECK(cudaFree(device_));
    CUDA_CHECK(cudaFreeHost(pinned_));
    cuda_emulation::set_platform({});
  }

  static constexpr size_t kBytes = 2 * sizeof(int);
  void launch_add(int addend, cudaStream_t stream) {
    cuda::launch(add, dim3(1), 2, stream, AddParams{device_, addend});
  }
  // What the device memory holds now, whatever the streams have still to do.
  std::vector<int> now() const {
    std::vector<int> values(2);
    CUDA_CHECK(cudaMemcpy(values.data(), device_, kBytes, cudaMemcpyDeviceToHost));
    return values;
  }

  int* device_ = nullptr;
  int* pinned_ = nullptr;
  cudaStream_t stream_ = nullptr, other_ = nullptr;
  cudaEvent_t event_ = nullptr;
};

TEST_F(LazyStreams, AKernelRunsWhenTheHostWaitsForItsStream) {
  launch_add(3, stream_);
  EXPECT_THAT(now(), ElementsAre(kUnset, kUnset));
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(now(), ElementsAre(2, 2));
}

TEST_F(LazyStreams, AKernelRunsOnceForEachWayToLook) {
  const std::vector<std::function<cudaError_t()>> looks = {
      [&] { return cudaStreamSynchronize(stream_); }, [&] { return cudaStreamQuery(stream_); },
      [&] { return cudaEventSynchronize(event_); },   [&] { return cudaEventQuery(event_); },
      [&] { return cudaDeviceSynchronize(); },
  };
  int expected = kUnset;
  for (const auto& look : looks) {
    launch_add(1, stream_);
    CUDA_CHECK(cudaEventRecord(event_, stream_));
    EXPECT_THAT(now(), ElementsAre(expected, expected));
    EXPECT_EQ(look(), cudaSuccess);
    ++expected;
    EXPECT_THAT(now(), ElementsAre(expected, expected));
    CUDA_CHECK(cudaStreamSynchronize(stream_));
    EXPECT_THAT(now(), ElementsAre(expected, expected));
  }
}

TEST_F(LazyStreams, AnEagerStreamRunsWorkAtOnce) {
  cuda_emulation::set_platform({.lazy = false});
  launch_add(3, stream_);
  EXPECT_THAT(now(), ElementsAre(2, 2));
}

TEST_F(LazyStreams, AnEventIsOfTheWorkBeforeIt) {
  launch_add(1, stream_);
  CUDA_CHECK(cudaEventRecord(event_, stream_));
  launch_add(10, stream_);
  CUDA_CHECK(cudaEventSynchronize(event_));
  EXPECT_THAT(now(), ElementsAre(0, 0));
  CUDA_CHECK(cudaEventRecord(event_, stream_));
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  EXPECT_THAT(now(), ElementsAre(10, 10));
}

TEST_F(LazyStreams, ParametersAreThoseOfTheLaunch) {
  AddParams params{device_, 1};
  cuda::launch(add, dim3(1), 2, stream_, params);
  params = {nullptr, 100};
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(now(), ElementsAre(0, 0));
}

TEST_F(LazyStreams, PinnedMemoryIsReadWhenTheCopyRuns) {
  pinned_[0] = pinned_[1] = 1;
  CUDA_CHECK(cudaMemcpyAsync(device_, pinned_, kBytes, cudaMemcpyHostToDevice, stream_));
  pinned_[1] = 2;  // too early
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(now(), ElementsAre(1, 2));
}

TEST_F(LazyStreams, PageableMemoryIsReadByTheCall) {
  int values[] = {1, 1};
  CUDA_CHECK(cudaMemcpyAsync(device_, values, kBytes, cudaMemcpyHostToDevice, stream_));
  values[1] = 2;
  EXPECT_THAT(now(), ElementsAre(kUnset, kUnset));
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(now(), ElementsAre(1, 1));
}

TEST_F(LazyStreams, AResultIsInPinnedMemoryOnceTheHostHasWaited) {
  launch_add(6, stream_);
  CUDA_CHECK(cudaMemcpyAsync(pinned_, device_, kBytes, cudaMemcpyDeviceToHost, stream_));
  EXPECT_EQ(pinned_[0], kUnset);
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  EXPECT_EQ(pinned_[0], 5);
}

TEST_F(LazyStreams, ACopyToPageableMemoryWaitsForItsStream) {
  int values[2] = {};
  launch_add(6, stream_);
  CUDA_CHECK(cudaMemcpyAsync(values, device_, kBytes, cudaMemcpyDeviceToHost, stream_));
  EXPECT_THAT(values, ElementsAre(5, 5));
}

TEST_F(LazyStreams, AStreamThatDoesNotWaitForAnEventRunsBeforeIt) {
  launch_add(6, other_);
  CUDA_CHECK(cudaEventRecord(event_, other_));
  cuda::launch(copy_first, dim3(1), 1, stream_, AddParams{device_, 0});
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(now(), ElementsAre(kUnset, kUnset));
  CUDA_CHECK(cudaStreamSynchronize(other_));
  EXPECT_THAT(now(), ElementsAre(5, 5));
}

TEST_F(LazyStreams, AStreamThatWaitsForAnEventRunsBehindIt) {
  launch_add(6, other_);
  CUDA_CHECK(cudaEventRecord(event_, other_));
  launch_add(100, other_);
  CUDA_CHECK(cudaStreamWaitEvent(stream_, event_));
  CUDA_CHECK(cudaEventRecord(event_, other_));  // waits are of what was recorded when they began
  launch_add(1, stream_);
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(now(), ElementsAre(6, 6));
}

TEST_F(LazyStreams, AnEventThatWasNeverRecordedIsDone) {
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event_), cudaSuccess);
  CUDA_CHECK(cudaStreamWaitEvent(stream_, event_));
  EXPECT_EQ(cudaStreamQuery(stream_), cudaSuccess);
}

TEST_F(LazyStreams, AnEventOutlivesItsStream) {
  cudaStream_t stream = nullptr;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  launch_add(1, stream);
  CUDA_CHECK(cudaEventRecord(event_, stream));
  CUDA_CHECK(cudaStreamDestroy(stream));
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  EXPECT_THAT(now(), ElementsAre(0, 0));
}

TEST_F(LazyStreams, AnEventOfAnotherDeviceIsRefused) {
  CUDA_CHECK(cudaSetDevice(1));
  cudaEvent_t event = nullptr;
  CUDA_CHECK(cudaEventCreate(&event));
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaErrorInvalidResourceHandle);
  CUDA_CHECK(cudaEventDestroy(event));
  CUDA_CHECK(cudaSetDevice(0));
}

// As collectives do, which come from elsewhere.
TEST_F(LazyStreams, WorkThatIsNotReadyHoldsWhatIsBehindIt) {
  bool ready = false;
  stream_->run([&] { return ready; });
  launch_add(1, stream_);
  CUDA_CHECK(cudaEventRecord(event_, stream_));
  EXPECT_EQ(cudaStreamQuery(stream_), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(event_), cudaErrorNotReady);
  EXPECT_THAT(now(), ElementsAre(kUnset, kUnset));
  ready = true;
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  EXPECT_THAT(now(), ElementsAre(0, 0));
}

TEST_F(LazyStreams, ABlockingCopyIsInOrderWithTheDefaultStreamAlone) {
  launch_add(1, nullptr);
  launch_add(100, stream_);
  EXPECT_THAT(now(), ElementsAre(0, 0));
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  EXPECT_THAT(now(), ElementsAre(100, 100));
}

TEST_F(LazyStreams, FreeingWaitsForTheDevice) {
  int* more = nullptr;
  CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&more), kBytes));
  launch_add(1, stream_);
  CUDA_CHECK(cudaFree(more));
  EXPECT_THAT(now(), ElementsAre(0, 0));
}

TEST_F(LazyStreams, AFaultIsReportedToTheHostThatWaitsAndEndsTheStreamsWork) {
  cuda::launch(fault, dim3(1), 1, stream_, AddParams{device_, 0});
  launch_add(1, stream_);
  EXPECT_THAT([&] { cudaStreamSynchronize(stream_); },
              ThrowsMessage<KernelFault>(HasSubstr("trap: fault")));
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_THAT(now(), ElementsAre(kUnset, kUnset));
}

TEST_F(LazyStreams, SeveralThreadsMayRunAStream) {
  launch_add(1, stream_);
  for (int i = 0; i < 100; ++i) launch_add(1, stream_);
  CUDA_CHECK(cudaEventRecord(event_, stream_));
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] { EXPECT_EQ(cudaEventSynchronize(event_), cudaSuccess); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(now(), ElementsAre(100, 100));
}

TEST_F(LazyStreams, QueueingWorkIsNoPoll) {
  const Counters before = cuda_emulation::counters();
  int values[2] = {};
  launch_add(1, other_);
  CUDA_CHECK(cudaEventRecord(event_, other_));
  CUDA_CHECK(cudaStreamWaitEvent(stream_, event_));
  CUDA_CHECK(cudaMemcpyAsync(device_, values, kBytes, cudaMemcpyHostToDevice, stream_));
  CUDA_CHECK(cudaMemsetAsync(device_, 0, kBytes, stream_));
  launch_add(1, stream_);
  CUDA_CHECK(cudaMemcpyAsync(pinned_, device_, kBytes, cudaMemcpyDeviceToHost, stream_));
  const Counters since = cuda_emulation::counters() - before;
  EXPECT_EQ(since.n_polls(), 0u);
  EXPECT_EQ(since.n_launches, 2u);
}

TEST_F(LazyStreams, EveryPollIsCounted) {
  int values[2] = {};
  void* more = nullptr;
  CUDA_CHECK(cudaMalloc(&more, 1));
  const Counters before = cuda_emulation::counters();
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  CUDA_CHECK(cudaEventSynchronize(event_));
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaFree(more));
  CUDA_CHECK(cudaStreamQuery(stream_));
  for (int i = 0; i < 2; ++i) CUDA_CHECK(cudaEventQuery(event_));
  CUDA_CHECK(cudaMemcpy(values, device_, kBytes, cudaMemcpyDeviceToHost));
  CUDA_CHECK(cudaMemcpyAsync(values, device_, kBytes, cudaMemcpyDeviceToHost, stream_));
  const Counters since = cuda_emulation::counters() - before;
  EXPECT_EQ(since.n_synchronizes, 4u);
  EXPECT_EQ(since.n_stream_queries, 1u);
  EXPECT_EQ(since.n_event_queries, 2u);
  EXPECT_EQ(since.n_blocking_copies, 2u);
  EXPECT_EQ(since.n_polls(), 9u);
  EXPECT_EQ(since.n_launches, 0u);
}

TEST_F(LazyStreams, ACopyThatDoesNotSayWhereItsBytesAreIsRefused) {
  int values[2] = {};
  for (const auto kind : {cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice}) {
    EXPECT_EQ(cudaMemcpy(device_, values, kBytes, kind), cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemcpyAsync(device_, pinned_, kBytes, kind, stream_), cudaErrorInvalidValue);
  }
  EXPECT_EQ(cudaMemcpyAsync(pinned_, values, kBytes, cudaMemcpyHostToDevice, stream_),
            cudaErrorInvalidValue);
}

TEST_F(LazyStreams, ACopyBeyondAnAllocationIsRefused) {
  int values[4] = {};
  EXPECT_EQ(cudaMemcpy(device_, values, kBytes + 1, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(device_ + 1, values, kBytes, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(values, device_ - 1, kBytes, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(device_ + 1, values, 4, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_THAT(now(), ElementsAre(kUnset, 0));
}

TEST_F(LazyStreams, WhatWasNotAllocatedIsNotFreed) {
  int value = 0;
  EXPECT_EQ(cudaFree(&value), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(pinned_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(device_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(device_ + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
}

}  // namespace
}  // namespace lockstep
