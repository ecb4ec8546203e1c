// CUDA_CHECK: ends the process, with place and reason, on an error of the driver or the device.
// After start-up such an error cannot be recovered from in the process that gets it, because it
// sticks to the process's CUDA context.
#pragma once

#include <cuda_runtime.h>

#include "common/check.h"

#define CUDA_CHECK(call)                                                      \
  do {                                                                        \
    const cudaError_t cuda_error_ = (call);                                   \
    if (cuda_error_ != cudaSuccess) [[unlikely]]                              \
      ::lockstep::check_failed(__FILE__, __LINE__, #call,                     \
                               std::string(cudaGetErrorString(cuda_error_))); \
  } while (false)
