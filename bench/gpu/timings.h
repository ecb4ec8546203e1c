// How fast the CUDA kernels are: GB/s of the bytes an op must move, beside what a plain copy
// reaches on the same device in the same run.
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/device/bench_entries.h"
#include "kernels/device.h"

namespace lockstep::gpu_check {

struct Timing {
  std::string op, what;
  double microseconds = 0.0;  // one launch, median of rounds
  double bytes = 0.0;         // that it must read and write
  double gb_per_s() const { return bytes / microseconds / 1e3; }
};

// The first is the copy. Below a minute; 3 GiB of the device.
std::vector<Timing> time_kernels(Device& device, Stream& stream, CudaTime& time, CudaCopy& copy);

}  // namespace lockstep::gpu_check
