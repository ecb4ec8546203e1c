// Times work on a CudaStream by the clock of the device. The work is captured in a graph and
// replayed, so the launches of the host are not measured. The measured time includes the pause of
// about a microsecond that the device makes between the nodes of a graph.
#include <functional>

#include "kernels/cuda/device/bench_entries.h"
#include "kernels/cuda/device/cuda_check.h"
#include "kernels/cuda/device/export.h"
#include "kernels/cuda/device/stream.h"

namespace lockstep {
namespace {

class TimedEvent {
 public:
  TimedEvent() { CUDA_CHECK(cudaEventCreate(&event_)); }
  ~TimedEvent() { CUDA_CHECK(cudaEventDestroy(event_)); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;
  void record(cudaStream_t stream) { CUDA_CHECK(cudaEventRecord(event_, stream)); }
  double milliseconds_since(const TimedEvent& start) const {
    float ms = 0.0f;
    CUDA_CHECK(cudaEventSynchronize(event_));
    CUDA_CHECK(cudaEventElapsedTime(&ms, start.event_, event_));
    return ms;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// The launches made during a capture, which can be launched again as one.
class Graph {
 public:
  Graph(cudaStream_t stream, const std::function<void()>& launches) {
    CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    launches();
    cudaGraph_t graph = nullptr;
    CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    CUDA_CHECK(cudaGraphInstantiate(&runnable_, graph, 0));
    CUDA_CHECK(cudaGraphDestroy(graph));
  }
  ~Graph() { CUDA_CHECK(cudaGraphExecDestroy(runnable_)); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(cudaStream_t stream) { CUDA_CHECK(cudaGraphLaunch(runnable_, stream)); }

 private:
  cudaGraphExec_t runnable_ = nullptr;
};

cudaStream_t handle_of(Stream& stream) {
  auto* cuda_stream = dynamic_cast<cuda::CudaStream*>(&stream);
  CHECK(cuda_stream != nullptr);
  return cuda_stream->on_device();
}

}  // namespace

LOCKSTEP_EXPORT CudaTime lockstep_cuda_time;
LOCKSTEP_EXPORT CudaCopy lockstep_cuda_copy;
LOCKSTEP_EXPORT CudaMultiprocessors lockstep_cuda_multiprocessors;

double lockstep_cuda_time(Stream& stream, const std::function<void()>& launches, int n_runs) {
  const cudaStream_t handle = handle_of(stream);
  Graph graph(handle, [&] {
    for (int i = 0; i < n_runs; ++i) launches();
  });
  graph.launch(handle);  // warm-up
  TimedEvent start, end;
  start.record(handle);
  graph.launch(handle);
  end.record(handle);
  return end.milliseconds_since(start) * 1e3 / n_runs;
}

void lockstep_cuda_copy(Stream& stream, void* to, const void* from, int64_t n_bytes) {
  CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<size_t>(n_bytes), cudaMemcpyDeviceToDevice,
                             handle_of(stream)));
}

int lockstep_cuda_multiprocessors(Stream& stream) {
  handle_of(stream);  // makes its device the current one
  int device = 0, n = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, device));
  return n;
}

}  // namespace lockstep
