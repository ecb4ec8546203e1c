// The CUDA devices of this process. Part of liblockstep_cuda.so; others reach it through
// kernels/cuda_module.h.
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda_module.h"
#include "kernels/device.h"

namespace lockstep::cuda {

// Those that kernels/cuda is built for. Empty without a driver, which `why_none` then explains.
std::vector<CudaDeviceInfo> list_devices(std::string& why_none);

// CHECKs that list_devices() has it.
std::unique_ptr<Device> open_device(int idx);

}  // namespace lockstep::cuda
