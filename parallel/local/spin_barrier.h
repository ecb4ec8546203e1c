// SpinBarrier: where the rank threads of one process meet. A thread that arrives early spins for
// some microseconds (peers are usually that close), then sleeps until the last one comes, its
// timeout ends or somebody aborts. Aborting is for good. Nothing is allocated after
// construction.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "parallel/communicator.h"

namespace lockstep {

class SpinBarrier {
 public:
  // n_threads meet here; n_threads_in_process compute beside each other.
  SpinBarrier(int n_threads, int n_threads_in_process, const StallTimeout& timeout);

  // kOk once all n_threads have called it; what each wrote before is then visible to all. A
  // thread that has met its peers gets kOk even if one of them aborts right after.
  [[nodiscard]] CommResult arrive_and_wait();
  void abort();  // any thread
  bool spins() const { return n_spins_ > 0; }
  bool aborted() const { return aborted_.load(std::memory_order_acquire); }

 private:
  bool spin_while(uint64_t generation) const;
  CommResult sleep_while(uint64_t generation);
  void wake_all();

  // constant after construction
  const int n_threads_;
  const int n_spins_;
  const StallTimeout timeout_;

  std::atomic<int> n_arrived_{0};
  std::atomic<uint64_t> generation_{0};  // meetings held
  std::atomic<bool> aborted_{false};
  std::atomic<int> n_sleepers_{0};
  std::mutex mutex_;  // guards nothing but the sleep itself
  std::condition_variable wake_;
};

}  // namespace lockstep
