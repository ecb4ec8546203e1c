#include "tests/cuda_emulation/platform.h"

#include <mutex>

namespace lockstep::cuda_emulation {
namespace {

std::mutex mutex;
Platform current;  // guarded by mutex

}  // namespace

void set_platform(const Platform& platform) {
  const std::lock_guard lock(mutex);
  current = platform;
}

Platform platform() {
  const std::lock_guard lock(mutex);
  return current;
}

}  // namespace lockstep::cuda_emulation
