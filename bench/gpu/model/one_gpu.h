// Devices of tensor-parallel ranks that share one GPU, a stream each. NCCL refuses two ranks on one
// GPU, so values go from stream to stream through host memory, while the ranks wait.
#pragma once

#include <memory>

#include "kernels/cuda_module.h"
#include "parallel/devices/device_provider.h"

namespace lockstep::gpu_check {

std::shared_ptr<const DeviceProvider> one_gpu(const CudaModule& module, int device_idx);

}  // namespace lockstep::gpu_check
