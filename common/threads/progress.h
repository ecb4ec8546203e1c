// ProgressCounter: says that work goes on. One thread writes it, after each piece of work that
// takes less than a second on any machine; any thread reads it, to see whether it has moved. It has
// a cache line of its own, so that a bump costs its writer an addition.
#pragma once

#include <cstdint>
#include <span>

namespace lockstep {

class alignas(64) ProgressCounter {
 public:
  // Its own thread.
  void bump() { __atomic_store_n(&n_, n_ + 1, __ATOMIC_RELAXED); }
  // Any thread.
  uint64_t count() const { return __atomic_load_n(&n_, __ATOMIC_RELAXED); }
  // For loops that are compiled for an instruction set and may not share inline functions with
  // others: what bump() does, spelled out there.
  uint64_t* raw() { return &n_; }

 private:
  uint64_t n_ = 0;
};

// Moves whenever one of them does.
inline uint64_t sum_of(std::span<const ProgressCounter> counters) {
  uint64_t sum = 0;
  for (const ProgressCounter& counter : counters) sum += counter.count();
  return sum;
}

}  // namespace lockstep
