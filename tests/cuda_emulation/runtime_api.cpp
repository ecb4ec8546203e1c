// The emulated devices: host memory, of which every byte that nobody wrote is 0xff.
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "cuda_runtime.h"
#include "tests/cuda_emulation/stream.h"

namespace {

constexpr int kDevices = 8;

}  // namespace

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "no memory";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNotReady:
      return "not ready";
  }
  return "unknown error";
}

cudaError_t cudaGetDeviceCount(int* n) {
  *n = kDevices;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {{}, size_t{1} << 30, 9, 0};
  std::snprintf(properties->name, sizeof properties->name, "emulated GPU %d", device);
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return device >= 0 && device < kDevices ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaMalloc(void** data, size_t n_bytes) {
  if (n_bytes > size_t{1} << 30 || posix_memalign(data, 256, n_bytes) != 0) {
    return cudaErrorMemoryAllocation;
  }
  std::memset(*data, 0xff, n_bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* data) {
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** data, size_t n_bytes) { return cudaMalloc(data, n_bytes); }
cudaError_t cudaFreeHost(void* data) { return cudaFree(data); }

cudaError_t cudaMemcpy(void* to, const void* from, size_t n_bytes, cudaMemcpyKind /*kind*/) {
  std::memcpy(to, from, n_bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  stream->run([=] { return cudaMemcpy(to, from, n_bytes, kind) == cudaSuccess; });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
  *stream = new cuda_emulation_stream;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  while (stream != nullptr && !stream->is_done()) std::this_thread::yield();
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return stream->is_done() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
