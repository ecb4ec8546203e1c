// The exports of liblockstep_cuda.so, which kernels/cuda_module.cpp looks up by name.
#include <cuda_runtime.h>

#include "kernels/cuda/device/devices.h"
#include "kernels/cuda/device/export.h"

namespace lockstep {
namespace {

std::string version_text(int version) {  // 13020 is 13.2
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

LOCKSTEP_EXPORT CudaModuleAbi lockstep_cuda_abi;
LOCKSTEP_EXPORT CudaListDevices lockstep_cuda_list_devices;
LOCKSTEP_EXPORT CudaOpenDevice lockstep_cuda_open_device;
LOCKSTEP_EXPORT CudaVersions lockstep_cuda_versions;

const char* lockstep_cuda_abi() { return LOCKSTEP_CUDA_ABI; }

void lockstep_cuda_list_devices(std::vector<CudaDeviceInfo>& devices, std::string& why_not) {
  devices = cuda::list_devices(why_not);
}

void lockstep_cuda_open_device(int device_idx, std::unique_ptr<Device>& device) {
  device = cuda::open_device(device_idx);
}

void lockstep_cuda_versions(std::string& versions) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);  // 0 if there is no driver
  cudaRuntimeGetVersion(&runtime);
  versions = "driver " + version_text(driver) + ", runtime " + version_text(runtime);
}

}  // namespace lockstep
