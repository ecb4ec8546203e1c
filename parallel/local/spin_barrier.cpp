#include "parallel/local/spin_barrier.h"

#include <algorithm>

#include "common/machine.h"
#include "common/threads/stall_watch.h"

namespace lockstep {

namespace {

constexpr int kSpins = 2000;  // about 50 microseconds of polling

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

SpinBarrier::SpinBarrier(int n_threads, int n_threads_in_process, const StallTimeout& timeout)
    : n_threads_(n_threads),
      n_spins_(pays_to_spin(std::max(n_threads, n_threads_in_process)) ? kSpins : 0),
      timeout_(timeout) {}

CommResult SpinBarrier::arrive_and_wait() {
  if (aborted()) return CommResult::kAborted;
  const uint64_t generation = generation_.load(std::memory_order_acquire);
  if (n_arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_threads_) {
    n_arrived_.store(0, std::memory_order_relaxed);
    generation_.fetch_add(1);  // sequentially consistent, like n_sleepers_, so one sees the other
    wake_all();
    return CommResult::kOk;
  }
  if (!spin_while(generation)) return CommResult::kOk;
  return sleep_while(generation);
}

void SpinBarrier::abort() {
  aborted_.store(true);
  wake_all();
}

// Spins; returns true if the threads have not met when the spinning ends or a thread aborts.
bool SpinBarrier::spin_while(uint64_t generation) const {
  for (int i = 0; i < n_spins_; ++i) {
    if (generation_.load(std::memory_order_acquire) != generation) return false;
    if (aborted_.load(std::memory_order_relaxed)) return true;
    relax();
  }
  return true;
}

CommResult SpinBarrier::sleep_while(uint64_t generation) {
  const auto over = [&] { return generation_.load() != generation; };
  const auto progress = [&] { return timeout_.progress ? timeout_.progress() : 0; };
  StallWatch watch(timeout_.n_ticks);
  std::unique_lock lock(mutex_);
  n_sleepers_.fetch_add(1);
  while (!wake_.wait_for(lock, timeout_.tick, [&] { return over() || aborted_.load(); })) {
    if (watch.tick(true, progress())) break;
  }
  n_sleepers_.fetch_sub(1);
  lock.unlock();
  if (over()) return CommResult::kOk;
  if (aborted()) return CommResult::kAborted;
  abort();
  return CommResult::kTimeout;
}

void SpinBarrier::wake_all() {
  if (n_sleepers_.load() == 0) return;
  // After this, every sleeper is either before its check or inside the wait.
  { std::lock_guard lock(mutex_); }
  wake_.notify_all();
}

}  // namespace lockstep
