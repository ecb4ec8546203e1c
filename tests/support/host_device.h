// HostDevice: a Device in this process's memory, for ranks that are threads on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "common/memory/ledger.h"
#include "kernels/device.h"

namespace lockstep::testing {

class HostDevice final : public Device {
 public:
  const std::string& name() const override { return name_; }

  std::byte* allocate(int64_t n_bytes) override {
    return static_cast<std::byte*>(::operator new(static_cast<size_t>(n_bytes), kAlignment));
  }
  void release(std::byte* data) override { ::operator delete(data, kAlignment); }

  void upload(void* device_data, const void* host_data, int64_t n_bytes) override {
    std::memcpy(device_data, host_data, static_cast<size_t>(n_bytes));
  }
  void download(void* host_data, const void* device_data, int64_t n_bytes) override {
    std::memcpy(host_data, device_data, static_cast<size_t>(n_bytes));
  }

  std::unique_ptr<Stream> make_stream(const StreamLimits& limits, MemoryLedger& ledger) override {
    return make_cpu_stream({.isa = Isa::kReference, .limits = limits}, ledger);
  }

 private:
  static constexpr std::align_val_t kAlignment{256};
  const std::string name_ = "host";
};

}  // namespace lockstep::testing
