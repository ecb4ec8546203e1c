// Nvml: the errors of GPU memory that NVIDIA's driver counts, read from its management library. The
// library belongs to the driver and is loaded by name; nvml.cpp declares the few functions that it
// calls, so no header of NVIDIA's is needed. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/result.h"

namespace lockstep {

// Errors that the ECC of a device's memory found since the driver was loaded or the device reset.
struct EccErrors {
  uint64_t corrected = 0;
  uint64_t uncorrected = 0;  // the process that used the memory was ended
};

class Nvml {
 public:
  // The library stays loaded until the process ends. Errors: kNotFound if there is no such library;
  // kConfigMismatch if it lacks a function; kInternal, with its reason, if it has no driver.
  static constexpr const char* kFile = "libnvidia-ml.so.1";
  static Result<Nvml> load(const std::string& file = kFile);

  // pci_bus_id: see Device::pci_bus_id(). The error gives NVML's reason: no such device, a device
  // without ECC, or one that no longer answers.
  Result<EccErrors> ecc_errors(const std::string& pci_bus_id) const;

 private:
  struct Functions;
  explicit Nvml(const Functions& functions);
  std::shared_ptr<const Functions> functions_;  // of the library
};

}  // namespace lockstep
