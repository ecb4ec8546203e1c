// WatchConfig: the settings of the watchdog (node/engine/recovery/watchdog.h). Plain data.
#pragma once

#include <chrono>
#include <functional>

namespace lockstep {

struct WatchConfig {
  std::chrono::milliseconds tick{100};
  int n_ticks = 100;  // ticks with work and without progress after which the process exits
  // Tests only: replaces the wait of one `tick`; returns false to end the watch.
  std::function<bool()> wait_tick;
};

}  // namespace lockstep
