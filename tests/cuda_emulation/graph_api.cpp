// Graphs of the emulated devices: what was pushed on one stream during a capture, to be pushed
// again as often as the graph is launched.
#include <map>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/runtime.h"
#include "tests/cuda_emulation/stream.h"

struct cuda_emulation_graph {
  std::vector<std::function<bool()>> work;
};

namespace {

struct Capture {
  decltype(cuda_emulation_stream::push) push = nullptr;  // the stream's, outside of a capture
  cuda_emulation_graph graph;
};

// By stream; a capture begins and ends in one thread.
thread_local std::map<cuda_emulation_stream*, Capture> captures;

void keep(cuda_emulation_stream& stream, std::function<bool()> work) {
  captures.at(&stream).graph.work.push_back(std::move(work));
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
  captures[stream].push = std::exchange(stream->push, &keep);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  auto capture = captures.extract(stream);
  stream->push = capture.mapped().push;
  *graph = new cuda_emulation_graph(std::move(capture.mapped().graph));
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* runnable, cudaGraph_t graph,
                                 unsigned long long /*flags*/) {
  *runnable = new cuda_emulation_graph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t runnable, cudaStream_t stream) {
  lockstep::cuda_emulation::use_device();
  for (const auto& work : runnable->work) stream->run(work);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t runnable) {
  delete runnable;
  return cudaSuccess;
}
