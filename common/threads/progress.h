// ProgressCounter: shows that a thread makes progress. One thread increments it after each piece of
// work, which takes less than a second on any machine. Any thread reads it to see whether it has
// changed. It has a cache line of its own, so that bump() costs one addition.
#pragma once

#include <cstdint>
#include <span>

namespace lockstep {

class alignas(64) ProgressCounter {
 public:
  // The counter's own thread only.
  void bump() { __atomic_store_n(&n_, n_ + 1, __ATOMIC_RELAXED); }
  // Any thread.
  uint64_t count() const { return __atomic_load_n(&n_, __ATOMIC_RELAXED); }
  // For loops that are compiled for a special instruction set and may not share inline functions
  // with other code: those loops do what bump() does themselves.
  uint64_t* raw() { return &n_; }

 private:
  uint64_t n_ = 0;
};

// The sum changes whenever one of the counters does.
inline uint64_t sum_of(std::span<const ProgressCounter> counters) {
  uint64_t sum = 0;
  for (const ProgressCounter& counter : counters) sum += counter.count();
  return sum;
}

}  // namespace lockstep
