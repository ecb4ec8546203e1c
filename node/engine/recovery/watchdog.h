// Watchdog: a thread that ends the process, exit code 70, when there is work and neither the engine
// thread nor any rank gets on: a thread that hangs cannot be ended, a process can, and its
// supervisor starts it anew. It looks at counters only and takes no lock, so it cannot hang with
// whom it watches. Slow work moves a counter, so it may take any time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "node/engine/watch_config.h"

namespace lockstep {

class Watchdog {
 public:
  struct Sight {
    bool has_work = false;
    uint64_t progress = 0;
    uint64_t awaited_step = 0;  // which the engine thread waits for; 0 = for none
  };

  // `look` is called at each tick on the watch's own thread, from start() to stop().
  Watchdog(const WatchConfig& config, std::function<Sight()> look);
  ~Watchdog();  // stop()

  void start();
  void stop();

 private:
  void run();
  bool wait_tick();  // false once the watch is over
  [[noreturn]] void give_up(const Sight& sight) const;

  // constant after construction
  const WatchConfig config_;
  const std::function<Sight()> look_;

  std::mutex mutex_;
  std::condition_variable stopped_;
  bool is_stopping_ = false;  // guarded by mutex_

  std::thread thread_;
};

}  // namespace lockstep
