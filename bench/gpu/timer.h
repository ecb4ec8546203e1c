// Timer: how long work on the first GPU takes, by the clock of the device.
#pragma once

#include <functional>

#include "bench/gpu/first_gpu.h"

namespace lockstep::gpu_check {

class Timer {
 public:
  Timer(FirstGpu& gpu, Sizes sizes);

  // Device memory whose bytes are small positive numbers as f32 and as f16, and random int8s, so
  // that they can serve as scales, activations and quants.
  DeviceBuffer noise(int64_t n_bytes) const;

  // Median over rounds of the time that one call's launches take, in a graph of many calls. Takes
  // some tens of milliseconds, or ten times as long as the launches.
  double microseconds(const std::function<void()>& launches) const;

  int n_sms() const { return n_sms_; }  // multiprocessors of the device

 private:
  FirstGpu& gpu_;
  const Sizes sizes_;
  const int n_sms_;
};

}  // namespace lockstep::gpu_check
