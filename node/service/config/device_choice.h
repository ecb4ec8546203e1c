// choose_devices: the devices that a node's `device` setting asks for. Used at start, on the thread
// of main().
#pragma once

#include <memory>
#include <string>

#include "node/service/config/node_config.h"
#include "parallel/devices/device_provider.h"

namespace lockstep {

struct DeviceChoice {
  std::shared_ptr<const DeviceProvider> devices;
  std::string why_cpu;  // what `auto` lacked for cuda; empty otherwise
};

// Throws LoadError, which names what `cuda` lacks. `auto` takes the CPU instead.
DeviceChoice choose_devices(const NodeConfig& config);

}  // namespace lockstep
