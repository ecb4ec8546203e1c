#include "tests/cuda_emulation/counters.h"

#include <mutex>

namespace lockstep::cuda_emulation {
namespace {

std::mutex mutex;
Counters current;  // guarded by mutex

}  // namespace

Counters counters() {
  const std::lock_guard lock(mutex);
  return current;
}

void count(uint64_t Counters::*what) {
  const std::lock_guard lock(mutex);
  ++(current.*what);
}

}  // namespace lockstep::cuda_emulation

lockstep::cuda_emulation::Counters cuda_emulation_counters() {
  return lockstep::cuda_emulation::counters();
}
