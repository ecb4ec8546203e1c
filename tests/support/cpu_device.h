// A CPU device and a stream of it, which last as long as the process.
#pragma once

#include "kernels/device.h"

namespace lockstep::testing {

inline Device& cpu_device() {
  static const std::unique_ptr<Device> device = make_cpu_device({});
  return *device;
}

// Runs no ops that need scratch.
inline Stream& cpu_stream() {
  static MemoryLedger ledger;
  static const std::unique_ptr<Stream> stream = cpu_device().make_stream({}, ledger);
  return *stream;
}

}  // namespace lockstep::testing
