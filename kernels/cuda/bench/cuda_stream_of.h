#pragma once

#include "common/check.h"
#include "kernels/cuda/device/stream.h"

namespace lockstep::cuda {

// The CUDA stream of a stream of this module.
inline cudaStream_t cuda_stream_of(Stream& stream) {
  auto* of_module = dynamic_cast<CudaStream*>(&stream);
  CHECK(of_module != nullptr);
  return of_module->on_device();
}

}  // namespace lockstep::cuda
