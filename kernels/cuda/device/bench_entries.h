// What the module exports for benches alone, by the names that stand beside the types.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/ops.h"

namespace lockstep {

// "lockstep_cuda_time": microseconds on the device of one run of `launches`, when it is run n_runs
// times in a row.
using CudaTime = double(Stream& stream, const std::function<void()>& launches, int n_runs);

// "lockstep_cuda_copy": queues a plain copy inside the device.
using CudaCopy = void(Stream& stream, void* to, const void* from, int64_t n_bytes);

}  // namespace lockstep
