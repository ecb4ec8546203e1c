// DeviceMonitor: what operators see of the devices of a node's ranks, asked of the driver: free
// memory, and the errors of memory that it counts. The ranks have no part in it. Used by one thread
// at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "parallel/devices/device_provider.h"
#include "parallel/devices/nvml.h"

namespace lockstep {

struct DeviceState {
  int64_t free_bytes = 0;
  std::optional<EccErrors> errors;  // empty if the driver does not count them
};

class DeviceMonitor {
 public:
  // Opens the devices of ranks 0 … n_ranks - 1. If errors of any are not counted, one line in the
  // log gives the reason. On CPUs there is nothing to open and nothing to log.
  DeviceMonitor(const DeviceProvider& devices, int n_ranks,
                const std::string& nvml_file = Nvml::kFile);

  // By rank; empty on CPUs. Takes as long as the driver needs to answer.
  std::vector<DeviceState> states() const;

 private:
  std::optional<EccErrors> errors_of(const Device& device) const;
  std::string devices_without_counts() const;  // with the reasons; empty if there are none

  // constant after construction
  std::vector<std::unique_ptr<Device>> devices_;  // by rank
  std::optional<Nvml> nvml_;
};

}  // namespace lockstep
