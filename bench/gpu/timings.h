// The speed of the CUDA kernels: GB/s of the bytes that an op must move, compared with a plain copy
// on the same device in the same run.
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/device/bench_entries.h"
#include "kernels/device.h"

namespace lockstep::gpu_check {

struct Timing {
  std::string op, what;
  double microseconds = 0.0;  // of one launch, median of rounds
  double bytes = 0.0;         // bytes that the op must read and write
  double gb_per_s() const { return bytes / microseconds / 1e3; }
};

// The first result is the copy. Takes less than a minute and 3 GiB of device memory.
std::vector<Timing> time_kernels(Device& device, Stream& stream, CudaTime& time, CudaCopy& copy);

}  // namespace lockstep::gpu_check
