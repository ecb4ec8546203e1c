#include "parallel/nccl/nccl_values.h"

namespace lockstep {

cudaError_t NcclValues::allocate(int n_ranks) {
  const size_t n_bytes = sizeof(uint64_t) * static_cast<size_t>(n_ranks);
  void* device = nullptr;
  void* host = nullptr;
  if (const cudaError_t error = cudaMalloc(&device, n_bytes); error != cudaSuccess) return error;
  device_ = static_cast<uint64_t*>(device);
  if (const cudaError_t error = cudaMallocHost(&host, n_bytes); error != cudaSuccess) return error;
  host_ = static_cast<uint64_t*>(host);
  return cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
}

NcclValues::~NcclValues() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
  if (host_ != nullptr) cudaFreeHost(host_);
  if (device_ != nullptr) cudaFree(device_);
}

}  // namespace lockstep
