// CUDA_CHECK: ends the process on an error of the driver or the device, with one line that gives
// device, reason and place, and with exit code 70 (EX_SOFTWARE of sysexits.h), like the watchdog.
// After start-up such an error cannot be recovered from in the process that gets it, because it
// sticks to the process's CUDA context. The node's streams continue on other nodes.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#include "common/check.h"

namespace lockstep::cuda {

inline constexpr int kExitDeviceError = 70;

// Runs no destructors: those of streams and buffers would wait for the device.
[[noreturn]] inline void device_failed(const char* file, int line, const char* call,
                                       const char* reason) {
  int device = -1;
  cudaGetDevice(&device);  // of the calling thread; -1 if even that fails
  std::fprintf(stderr, "CUDA error on cuda:%d: %s (%s at %s:%d); exiting\n", device, reason, call,
               file, line);
  std::fflush(stderr);
  std::_Exit(kExitDeviceError);
}

}  // namespace lockstep::cuda

#define CUDA_CHECK(call)                                                                           \
  do {                                                                                             \
    const cudaError_t cuda_error_ = (call);                                                        \
    if (cuda_error_ != cudaSuccess) [[unlikely]]                                                   \
      ::lockstep::cuda::device_failed(__FILE__, __LINE__, #call, cudaGetErrorString(cuda_error_)); \
  } while (false)
