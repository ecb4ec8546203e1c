// Export of the module for deploy/gpu_check.sh: the most that the device can do of one thing, in
// kernels that do nothing else.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace lockstep {

enum class Ceiling : uint8_t {
  kRead,           // bytes read from device memory
  kFma,            // multiplications and additions of floats: 2 a fma
  kMmaBytes,       // the same of tensor cores, in signed bytes
  kMmaF16,         // in f16, with f32 sums
  kLinearBytes,    // in signed bytes, each sum of 32 products converted, scaled and added
  kLinearF16,      // in f16, each sum of 32 products scaled and added
  kEmptyLaunches,  // launches of a kernel that does nothing
};

struct CeilingArgs {
  std::byte* data = nullptr;  // device memory that the kernels read
  int64_t n_bytes = 0;        // at least 512
  int n_sms = 0;              // multiprocessors of the device
  int n_rounds = 0;           // of all but kRead and kEmptyLaunches
};

// "lockstep_cuda_ceiling": queues one launch and returns how many of the things it does.
using CudaCeiling = double(Stream& stream, Ceiling what, const CeilingArgs& args);

}  // namespace lockstep
