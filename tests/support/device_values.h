// DeviceValues: a row of values in device memory that tests fill and read back.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/device.h"

namespace lockstep::testing {

template <class T>
class DeviceValues {
 public:
  DeviceValues(Device& device, int64_t n)
      : device_(device), n_(n), buffer_(device, ledger_, MemoryTag::kActivations, bytes()) {}

  T* data() const { return buffer_.template as<T>(); }
  View as_view() const { return view(data(), {n_}); }

  void fill(T value) { set(std::vector<T>(static_cast<size_t>(n_), value)); }
  void set(const std::vector<T>& values) { device_.upload(data(), values.data(), bytes()); }
  std::vector<T> get() const {
    std::vector<T> values(static_cast<size_t>(n_));
    device_.download(values.data(), data(), bytes());
    return values;
  }

 private:
  int64_t bytes() const { return n_ * static_cast<int64_t>(sizeof(T)); }

  Device& device_;
  const int64_t n_;
  MemoryLedger ledger_;
  DeviceBuffer buffer_;
};

}  // namespace lockstep::testing
