#include "tests/cuda_emulation/platform.h"

#include <mutex>

#include "tests/cuda_emulation/device_memory.h"

namespace lockstep::cuda_emulation {
namespace {

std::mutex mutex;
Platform current;  // guarded by mutex

}  // namespace

void set_platform(const Platform& platform) {
  const std::lock_guard lock(mutex);
  current = platform;
  set_guard(platform.guard);
}

Platform platform() {
  const std::lock_guard lock(mutex);
  return current;
}

}  // namespace lockstep::cuda_emulation
