#include "parallel/devices/device_provider.h"

namespace lockstep {
namespace {

class CpuDevices final : public DeviceProvider {
 public:
  const char* kind() const override { return "cpu"; }
  bool is_host() const override { return true; }

  std::unique_ptr<Device> open(int /*rank*/, const CpuStreamOptions& cpu) const override {
    return make_cpu_device(cpu);
  }

  int64_t free_device_bytes(int /*n_ranks*/) const override { return 0; }

  Result<Group> make_group(int n_ranks, const StallTimeout& timeout,
                           int n_threads_in_process) const override {
    return make_local_group(n_ranks, timeout, n_threads_in_process);
  }
};

}  // namespace

std::shared_ptr<const DeviceProvider> cpu_devices() {
  static const auto devices = std::make_shared<const CpuDevices>();
  return devices;
}

}  // namespace lockstep
