// The emulated GPUs as the devices of ranks: the CUDA module and the NCCL that the tests build.
// Streams are lazy (tests/cuda_emulation/platform.h), unless the environment says otherwise.
#pragma once

#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "kernels/cuda_module.h"
#include "parallel/devices/device_provider.h"
#include "tests/cuda_emulation/counters.h"

namespace lockstep::testing {

inline std::shared_ptr<const DeviceProvider> emulated_gpus(int n_ranks) {
  ::setenv("LOCKSTEP_EMULATION", "lazy", 0);
  auto devices = cuda_devices({LOCKSTEP_EMULATED_CUDA, LOCKSTEP_EMULATED_NCCL}, n_ranks);
  if (!devices) throw std::runtime_error(devices.error().message);
  return std::move(devices).value();
}

// What the host has asked of the emulated devices so far.
inline cuda_emulation::Counters emulation_counters() {
  const CudaModule module = CudaModule::load(LOCKSTEP_EMULATED_CUDA).value();
  return reinterpret_cast<cuda_emulation::GetCounters*>(module.symbol("cuda_emulation_counters"))();
}

}  // namespace lockstep::testing
