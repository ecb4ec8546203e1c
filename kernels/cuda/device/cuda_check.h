// CUDA_CHECK: after start-up an error of the driver or the device cannot be survived by the process
// that sees it (such errors stick to its context): it ends, saying where and why.
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
