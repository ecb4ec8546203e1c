// WatchConfig: how the engine is watched (watchdog.h). Plain data.
#pragma once

#include <chrono>
#include <functional>

namespace lockstep {

struct WatchConfig {
  std::chrono::milliseconds tick{100};
  int n_ticks = 100;  // without progress while there is work: then the process ends
  // Tests only: returns at the next tick, instead of `tick` later; false once the watch is over.
  std::function<bool()> wait_tick;
};

}  // namespace lockstep
