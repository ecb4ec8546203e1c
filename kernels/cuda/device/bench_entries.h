// Exports of the module for benchmarks only. The comment at each type gives the name of the export.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/ops.h"

namespace lockstep {

// "lockstep_cuda_time": microseconds on the device per run of `launches`, as the mean of n_runs
// runs in a row.
using CudaTime = double(Stream& stream, const std::function<void()>& launches, int n_runs);

// "lockstep_cuda_copy": queues a plain copy from device memory to device memory.
using CudaCopy = void(Stream& stream, void* to, const void* from, int64_t n_bytes);

// "lockstep_cuda_multiprocessors": of the stream's device.
using CudaMultiprocessors = int(Stream& stream);

}  // namespace lockstep
