#include "node/engine/recovery/watchdog.h"

#include <cstdlib>
#include <utility>

#include "common/log.h"
#include "common/threads/stall_watch.h"
#include "common/threads/threads.h"

namespace lockstep {
namespace {

constexpr int kExitHung = 70;  // EX_SOFTWARE of sysexits.h

}  // namespace

Watchdog::Watchdog(const WatchConfig& config, std::function<Sight()> look)
    : config_(config), look_(std::move(look)) {}

Watchdog::~Watchdog() { stop(); }

void Watchdog::start() {
  is_stopping_ = false;
  thread_ = start_thread("the watchdog", [this] { run(); });
}

void Watchdog::stop() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  stopped_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::run() {
  StallWatch watch(config_.n_ticks);
  while (wait_tick()) {
    const Sight sight = look_();
    if (watch.tick(sight.has_work, sight.progress)) give_up(sight);
  }
}

bool Watchdog::wait_tick() {
  if (config_.wait_tick) return config_.wait_tick();
  std::unique_lock lock(mutex_);
  return !stopped_.wait_for(lock, config_.tick, [this] { return is_stopping_; });
}

void Watchdog::give_up(const Sight& sight) const {
  const std::string who = sight.awaited_step == 0
                              ? std::string("the engine thread hangs outside of a step")
                              : str("a rank hangs in step ", sight.awaited_step);
  log(LogLevel::kError, str(who, ": no progress for ", config_.n_ticks, " ticks of ",
                            config_.tick.count(), " ms; exiting"));
  std::_Exit(kExitHung);
}

}  // namespace lockstep
