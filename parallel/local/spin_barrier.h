// SpinBarrier: a barrier for the rank threads of one process. A thread that arrives early spins for
// some microseconds (the others are usually that close), then sleeps until the last thread arrives,
// its timeout ends or a thread aborts. An aborted barrier stays aborted. Only the constructor
// allocates.
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
  // n_threads meet at the barrier; the process has n_threads_in_process computing threads in all.
  SpinBarrier(int n_threads, int n_threads_in_process, const StallTimeout& timeout);

  // Returns kOk once all n_threads have called it; all that each thread wrote before is then
  // visible to all. A thread that has met the others gets kOk even if one aborts right after.
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
  std::atomic<uint64_t> generation_{0};  // times that all threads have met
  std::atomic<bool> aborted_{false};
  std::atomic<int> n_sleepers_{0};
  std::mutex mutex_;  // guards only the sleep
  std::condition_variable wake_;
};

}  // namespace lockstep
