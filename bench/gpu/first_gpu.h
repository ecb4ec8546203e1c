// FirstGpu: a stream on the first device, and the module's entries for benchmarks.
#pragma once

#include <memory>
#include <string>

#include "bench/gpu/stages.h"
#include "kernels/cuda/device/bench_entries.h"
#include "kernels/device.h"
#include "kernels/kv_layout.h"

namespace lockstep::gpu_check {

class FirstGpu {
 public:
  explicit FirstGpu(const Gpus& gpus)
      : module_(gpus.module),
        device_(gpus.module.open(gpus.devices.front().idx)),
        stream_(device_->make_stream(
            {.head_dim = kMaxHeadDim, .max_samples = 64, .vocab_size = 1 << 18}, ledger_)) {}

  Device& device() { return *device_; }
  Stream& stream() { return *stream_; }
  MemoryLedger& ledger() { return ledger_; }

  // `Entry`: the type of the export of this name.
  template <class Entry>
  Entry& entry(const char* name) const {
    auto* function = reinterpret_cast<Entry*>(module_.symbol(name));
    CHECK(function != nullptr);
    return *function;
  }

 private:
  const CudaModule& module_;
  MemoryLedger ledger_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace lockstep::gpu_check
