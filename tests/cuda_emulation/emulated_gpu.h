// The small cases of bench/gpu on the emulated GPU, beside the reference.
#pragma once

#include <memory>
#include <vector>

#include "bench/gpu/bit_cases.h"
#include "kernels/cuda/device/devices.h"
#include "kernels/kv_layout.h"

namespace lockstep::cuda_emulation {

inline const std::vector<gpu_check::BitCase>& cases() {
  static const std::vector<gpu_check::BitCase> all = all_bit_cases(gpu_check::Sizes::kSmall);
  return all;
}

// Of a case, once per process.
inline const std::vector<gpu_check::Output>& expected(size_t i) {
  static std::vector<std::vector<gpu_check::Output>> known(cases().size());
  if (known[i].empty()) {
    gpu_check::ReferenceSide reference;
    known[i] = cases()[i].run(reference);
  }
  return known[i];
}

class EmulatedGpu {
 public:
  // What differs from the reference in case i.
  gpu_check::Difference run(size_t i) {
    gpu_check::DeviceSide side(*device_, *stream_);
    return gpu_check::compare(expected(i), cases()[i].run(side));
  }

 private:
  MemoryLedger ledger_;
  std::unique_ptr<Device> device_ = cuda::open_device(0);
  std::unique_ptr<Stream> stream_ = device_->make_stream({.head_dim = kMaxHeadDim}, ledger_);
};

}  // namespace lockstep::cuda_emulation
