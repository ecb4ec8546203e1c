// The emulated devices: host memory, of which every byte that no call has written is 0xff.
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>

#include "cuda_runtime.h"
#include "tests/cuda_emulation/stream.h"

namespace {

using lockstep::cuda_emulation::KernelFault;

constexpr int kDevices = 8;
constexpr int kSms = 2;  // so few that small cases fill them as well as not
thread_local int current_device = 0;
thread_local std::set<int> used_devices;

std::string text(dim3 n) {
  return std::to_string(n.x) + " x " + std::to_string(n.y) + " x " + std::to_string(n.z);
}

// What every call does that needs a context.
void use_device() { used_devices.insert(current_device); }

}  // namespace

std::vector<int> lockstep::cuda_emulation::devices_used() {
  return {used_devices.begin(), used_devices.end()};
}

void cuda_emulation_check_launch(const cudaLaunchConfig_t& config) {
  use_device();
  const auto [x, y, z] = config.gridDim;
  if (x == 0 || y == 0 || z == 0) throw KernelFault("launched a grid without blocks");
  if (x > INT32_MAX || y > 65535 || z > 65535) {
    throw KernelFault("launched a grid of " + text(config.gridDim) + " blocks");
  }
  const dim3 block = config.blockDim;
  const uint64_t n_threads = uint64_t{block.x} * block.y * block.z;
  if (n_threads == 0 || n_threads > 1024 || block.z > 64) {
    throw KernelFault("launched blocks of " + text(block) + " threads");
  }
  if (config.stream != nullptr && config.stream->device != current_device) {
    throw KernelFault("launched to a stream of device " + std::to_string(config.stream->device) +
                      " by a thread whose device is " + std::to_string(current_device));
  }
}

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

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr /*attribute*/, int /*device*/) {
  *value = kSms;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaMalloc(void** data, size_t n_bytes) {
  use_device();
  if (n_bytes > size_t{1} << 30 || posix_memalign(data, 256, n_bytes) != 0) {
    return cudaErrorMemoryAllocation;
  }
  std::memset(*data, 0xff, n_bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* data) {
  use_device();
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** data, size_t n_bytes) { return cudaMalloc(data, n_bytes); }
cudaError_t cudaFreeHost(void* data) { return cudaFree(data); }

cudaError_t cudaMemcpy(void* to, const void* from, size_t n_bytes, cudaMemcpyKind /*kind*/) {
  use_device();
  std::memcpy(to, from, n_bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  stream->run([=] { return cudaMemcpy(to, from, n_bytes, kind) == cudaSuccess; });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
  use_device();
  *stream = new cuda_emulation_stream{current_device, {}};
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  use_device();
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  use_device();
  while (stream != nullptr && !stream->is_done()) std::this_thread::yield();
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  use_device();
  return stream->is_done() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
