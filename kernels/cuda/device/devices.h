// The CUDA devices of this process. Part of liblockstep_cuda.so; other layers reach it through
// kernels/cuda_module.h.
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda_module.h"
#include "kernels/device.h"

namespace lockstep::cuda {

// See CudaModule::devices().
std::vector<CudaDeviceInfo> list_devices(std::string& why_not);

// CHECKs that list_devices() has a device of this idx.
std::unique_ptr<Device> open_device(int idx);

}  // namespace lockstep::cuda
