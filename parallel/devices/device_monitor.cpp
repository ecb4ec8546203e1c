#include "parallel/devices/device_monitor.h"

#include "common/log.h"

namespace lockstep {

DeviceMonitor::DeviceMonitor(const DeviceProvider& devices, int n_ranks,
                             const std::string& nvml_file) {
  if (devices.is_host()) return;
  for (int rank = 0; rank < n_ranks; ++rank) devices_.push_back(devices.open(rank, {}));

  const Result<Nvml> nvml = Nvml::load(nvml_file);
  if (nvml) nvml_ = *nvml;
  const std::string why_not = nvml ? devices_without_counts() : nvml.error().message;
  if (!why_not.empty()) {
    log(LogLevel::kInfo, "errors of device memory are not counted: " + why_not);
  }
}

std::vector<DeviceState> DeviceMonitor::states() const {
  std::vector<DeviceState> states;
  states.reserve(devices_.size());
  for (const auto& device : devices_) {
    states.push_back({.free_bytes = device->free_bytes(), .errors = errors_of(*device)});
  }
  return states;
}

std::optional<EccErrors> DeviceMonitor::errors_of(const Device& device) const {
  if (!nvml_) return std::nullopt;
  const auto errors = nvml_->ecc_errors(device.pci_bus_id());
  return errors ? std::optional(*errors) : std::nullopt;
}

std::string DeviceMonitor::devices_without_counts() const {
  std::string text;
  for (const auto& device : devices_) {
    const auto errors = nvml_->ecc_errors(device->pci_bus_id());
    if (errors) continue;
    text += str(text.empty() ? "" : "; ", device->name(), ": ", errors.error().message);
  }
  return text;
}

}  // namespace lockstep
