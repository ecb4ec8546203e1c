// StallWatch: distinguishes stalled work from slow work. It counts its owner's ticks, not time, so
// a process that was stopped and continued is not reported as stalled. One thread.
#pragma once

#include <cstdint>

namespace lockstep {

class StallWatch {
 public:
  // `n_ticks`: work is stalled after this many ticks in a row without progress.
  explicit StallWatch(int n_ticks) : n_ticks_(n_ticks) {}

  // To be called once per tick, however late. Returns true if at each of the last n_ticks ticks
  // there was work and `progress` had its present value.
  bool tick(bool has_work, uint64_t progress) {
    const bool is_still = has_work && has_looked_ && progress == last_;
    has_looked_ = true;
    last_ = progress;
    n_still_ = is_still ? n_still_ + 1 : 0;
    return n_still_ >= n_ticks_;
  }

 private:
  const int n_ticks_;
  bool has_looked_ = false;
  uint64_t last_ = 0;  // value of `progress` at the last tick
  int n_still_ = 0;    // ticks in a row
};

}  // namespace lockstep
