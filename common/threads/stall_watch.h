// StallWatch: tells work that stands still from work that is slow. It counts its owner's ticks, not
// time: a process that was stopped and goes on has missed no tick, so it is no stall. One thread.
#pragma once

#include <cstdint>

namespace lockstep {

class StallWatch {
 public:
  // For how many ticks in a row nothing may move while there is work.
  explicit StallWatch(int n_ticks) : n_ticks_(n_ticks) {}

  // One more tick, however late it comes. True once there has been work at each of the last n_ticks
  // and `progress` stood where it stands now.
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
  uint64_t last_ = 0;  // what progress was at the last tick
  int n_still_ = 0;    // ticks in a row
};

}  // namespace lockstep
