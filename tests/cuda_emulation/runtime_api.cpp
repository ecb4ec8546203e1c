// The emulated devices and launches of kernels on them.
#include <cstdio>
#include <set>

#include "tests/cuda_emulation/counters.h"
#include "tests/cuda_emulation/platform.h"
#include "tests/cuda_emulation/runtime.h"

namespace lockstep::cuda_emulation {
namespace {

constexpr int kDevices = 8;
constexpr int kSms = 2;  // so few that small cases fill them as well as not
thread_local int current = 0;
thread_local std::set<int> used_devices;

std::string text(dim3 n) {
  return std::to_string(n.x) + " x " + std::to_string(n.y) + " x " + std::to_string(n.z);
}

void check_launch(const cudaLaunchConfig_t& config) {
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
  if (device_of(config.stream) != current) {
    throw KernelFault("launched to a stream of device " + std::to_string(device_of(config.stream)) +
                      " by a thread whose device is " + std::to_string(current));
  }
}

}  // namespace

int current_device() { return current; }
void use_device() { used_devices.insert(current); }
std::vector<int> devices_used() { return {used_devices.begin(), used_devices.end()}; }

}  // namespace lockstep::cuda_emulation

using namespace lockstep::cuda_emulation;

cudaError_t cuda_emulation_launch(const cudaLaunchConfig_t& config, std::function<void()> work) {
  use_device();
  check_launch(config);
  count(&Counters::n_launches);
  enqueue(config.stream, [grid = config.gridDim, block = config.blockDim, body = std::move(work)] {
    run_grid(grid, block, body);
  });
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidPitchValue:
      return "invalid pitch argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorNotSupported:
      return "operation not supported";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int* n) {
  *n = kDevices;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {{}, platform().device_bytes, 9, 0};
  std::snprintf(properties->name, sizeof properties->name, "emulated GPU %d", device);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr /*attribute*/, int /*device*/) {
  *value = kSms;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return cudaErrorInvalidDevice;
  current = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  use_device();
  count(&Counters::n_synchronizes);
  wait_for_device(current);
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
