// Graphs of the emulated devices, and events that know their time.
#include <gtest/gtest.h>

#include <thread>

#include "kernels/cuda/device/launch.h"
#include "tests/cuda_emulation/platform.h"

namespace lockstep {
namespace {

struct AddParams {
  int* value;
  int addend;
};
void add(AddParams p) { *p.value += p.addend; }
void sleep(AddParams) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

class Graphs : public testing::TestWithParam<bool> {  // whether streams are lazy
 protected:
  Graphs() {
    cuda_emulation::set_platform({.lazy = GetParam()});
    CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&value_), sizeof *value_));
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    CUDA_CHECK(cudaMemsetAsync(value_, 0, sizeof *value_, stream_));
  }
  ~Graphs() override {
    CUDA_CHECK(cudaStreamDestroy(stream_));
    CUDA_CHECK(cudaFree(value_));
    cuda_emulation::set_platform({});
  }
  int value() const {
    CUDA_CHECK(cudaStreamSynchronize(stream_));
    int value = 0;
    CUDA_CHECK(cudaMemcpy(&value, value_, sizeof value, cudaMemcpyDeviceToHost));
    return value;
  }
  void launch(void (*kernel)(AddParams), int addend = 0) {
    cuda::launch(kernel, dim3(1), 1, stream_, AddParams{value_, addend});
  }

  int* value_ = nullptr;
  cudaStream_t stream_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Streams, Graphs, testing::Bool());

TEST_P(Graphs, CapturedWorkRunsAsOftenAsItsGraphIsLaunched) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t runnable = nullptr;
  launch(add, 1);
  CUDA_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  launch(add, 10);
  launch(add, 100);
  CUDA_CHECK(cudaStreamEndCapture(stream_, &graph));
  CUDA_CHECK(cudaGraphInstantiate(&runnable, graph, 0));
  CUDA_CHECK(cudaGraphDestroy(graph));
  EXPECT_EQ(value(), 1);
  CUDA_CHECK(cudaGraphLaunch(runnable, stream_));
  launch(add, 1000);
  CUDA_CHECK(cudaGraphLaunch(runnable, stream_));
  EXPECT_EQ(value(), 1221);
  CUDA_CHECK(cudaGraphExecDestroy(runnable));
}

TEST_P(Graphs, EventsTellTheTimeBetweenThem) {
  cudaEvent_t begin = nullptr, end = nullptr, timeless = nullptr;
  CUDA_CHECK(cudaEventCreate(&begin));
  CUDA_CHECK(cudaEventCreate(&end));
  CUDA_CHECK(cudaEventCreateWithFlags(&timeless, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventRecord(begin, stream_));
  launch(sleep);
  CUDA_CHECK(cudaEventRecord(end, stream_));
  CUDA_CHECK(cudaEventRecord(timeless, stream_));
  CUDA_CHECK(cudaEventSynchronize(end));
  float ms = 0;
  CUDA_CHECK(cudaEventElapsedTime(&ms, begin, end));
  EXPECT_GE(ms, 20.0f);
  EXPECT_EQ(cudaEventElapsedTime(&ms, begin, timeless), cudaErrorInvalidResourceHandle);
  for (cudaEvent_t event : {begin, end, timeless}) CUDA_CHECK(cudaEventDestroy(event));
}

}  // namespace
}  // namespace lockstep
