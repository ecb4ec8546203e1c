// The emulated devices and launches of kernels on them.
#include <unistd.h>

#include <cstdio>
#include <set>

#include "tests/cuda_emulation/counters.h"
#include "tests/cuda_emulation/platform.h"
#include "tests/cuda_emulation/runtime.h"

namespace lockstep::cuda_emulation {
namespace {

constexpr int kSms = 2;  // so few that small cases fill them as well as not
thread_local int current = 0;
thread_local std::set<int> used_devices;

std::string text(dim3 n) {
  return std::to_string(n.x) + " x " + std::to_string(n.y) + " x " + std::to_string(n.z);
}

// Throws KernelFault for what a device would refuse.
void check_config(const cudaLaunchConfig_t& config) {
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

cudaError_t check_launch(const cudaLaunchConfig_t& config) {
  try {
    check_config(config);
    return cudaSuccess;
  } catch (const KernelFault& fault) {
    if (!platform().faults_are_errors) throw;
    std::fprintf(stderr, "emulated CUDA: device %d: %s\n", current, fault.what());
    return cudaErrorInvalidConfiguration;
  }
}

}  // namespace

int current_device() { return current; }
void use_device() { used_devices.insert(current); }
cudaError_t status() { return has_failed(current) ? cudaErrorLaunchFailure : cudaSuccess; }
bool exists(const std::string& path) { return !path.empty() && access(path.c_str(), F_OK) == 0; }
std::vector<int> devices_used() { return {used_devices.begin(), used_devices.end()}; }

}  // namespace lockstep::cuda_emulation

using namespace lockstep::cuda_emulation;

cudaError_t cuda_emulation_launch(const cudaLaunchConfig_t& config, std::function<void()> work) {
  use_device();
  if (const cudaError_t error = check_launch(config); error != cudaSuccess) return error;
  count(&Counters::n_launches);
  enqueue(config.stream, [grid = config.gridDim, block = config.blockDim, body = std::move(work)] {
    if (exists(platform().fault_file)) throw KernelFault("a fault, as the test wanted");
    run_grid(grid, block, body);
  });
  return status();
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
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorNotSupported:
      return "operation not supported";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int* n) {
  *n = platform().n_devices;
  return *n > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const int version = platform().compute_version;
  *properties = {{}, platform().device_bytes, version / 10, version % 10};
  std::snprintf(properties->name, sizeof properties->name, "emulated GPU %d", device);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr /*attribute*/, int /*device*/) {
  *value = kSms;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int n_bytes, int device) {
  if (device < 0 || device >= platform().n_devices) return cudaErrorInvalidDevice;
  std::snprintf(text, static_cast<size_t>(n_bytes), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= platform().n_devices) return cudaErrorInvalidDevice;
  current = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  use_device();
  count(&Counters::n_synchronizes);
  wait_for_device(current);
  return status();
}

cudaError_t cudaGetLastError() { return status(); }

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
