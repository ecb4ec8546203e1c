// Watchdog: a thread that ends the process with exit code 70 when there is work and neither the
// engine thread nor any rank makes progress. A hanging thread cannot be ended; a process can, and
// its supervisor restarts it. The watchdog reads counters only and shares no lock with the threads
// that it watches, so it cannot hang with them. Slow work advances a counter and may take any time.
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
    uint64_t awaited_step = 0;  // the step that the engine thread waits for; 0 = none
  };

  // `look` is called at each tick on the watchdog's own thread, between start() and stop().
  Watchdog(const WatchConfig& config, std::function<Sight()> look);
  ~Watchdog();  // stop()

  void start();
  void stop();

 private:
  void run();
  bool wait_tick();  // returns false once the watch is over
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
