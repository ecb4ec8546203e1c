// The engine under its watchdog, with ticks that the tests give: a slow step lives, a step without
// progress ends the process, and an idle engine is left alone.
#include "node/engine/recovery/watchdog.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "node/engine/core/engine.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

using namespace std::chrono_literals;

constexpr int kTicksOf30Seconds = 300;

// Gives a watchdog its ticks by hand.
class FakeTicks {
 public:
  std::function<bool()> waiter() {
    return [this] {
      std::unique_lock lock(mutex_);
      is_waiting_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return n_given_ > 0 || is_over_; });
      if (is_over_) return false;
      --n_given_;
      is_waiting_ = false;
      return true;
    };
  }
  // Gives one tick; on return the watchdog has looked and waits for the next one.
  void tick() {
    std::unique_lock lock(mutex_);
    ++n_given_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return n_given_ == 0 && is_waiting_; });
  }
  void end() {
    std::lock_guard lock(mutex_);
    is_over_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int n_given_ = 0;
  bool is_waiting_ = false;
  bool is_over_ = false;
};

// A sink whose wait() for a request's end has a limit, so that a test never hangs; the end takes
// milliseconds.
class EndOfOne final : public EngineSink {
 public:
  void on_events(const EventBatch& batch) override {
    std::lock_guard lock(mutex_);
    for (const RequestEnd& end : batch.ends) reason_ = end.reason;
    changed_.notify_all();
  }
  std::optional<FinishReason> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 60s, [this] { return reason_.has_value(); });
    return reason_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<FinishReason> reason_;
};

struct Watched {
  Watched() : executor(executor_options(config)) {
    EngineConfig watched = config;
    watched.watch.wait_tick = ticks.waiter();
    engine.emplace(watched, executor, tokenizer, clock, sink);
    engine->start();
  }
  ~Watched() {
    ticks.end();
    executor.release();
  }

  const EngineConfig config = small_config();
  FakeTicks ticks;
  FakeTokenizer tokenizer;
  SteadyClock clock;
  EndOfOne sink;
  NullExecutor executor;
  std::optional<Engine> engine;
};

TEST(Watchdog, AStepOfHalfAMinuteInWhichARankGetsOnLives) {
  Watched w;
  w.executor.hold();
  ASSERT_TRUE(w.engine->submit(request_of(1, {10, 20}, 3)));
  w.executor.wait_until_stalled();
  const uint64_t before = w.engine->snapshot().progress;
  for (int tick = 0; tick < kTicksOf30Seconds; ++tick) {
    if (tick % (w.config.watch.n_ticks - 1) == 0) ++w.executor.n_progress;
    w.ticks.tick();
  }
  EXPECT_GE(w.engine->snapshot().progress, before + 4) << "heartbeats tell it";
  w.executor.release();
  EXPECT_EQ(w.sink.wait(), FinishReason::kLength);
}

TEST(Watchdog, AnIdleEngineIsLeftAlone) {
  Watched w;
  for (int tick = 0; tick < kTicksOf30Seconds; ++tick) w.ticks.tick();
  ASSERT_TRUE(w.engine->submit(request_of(1, {10, 20}, 3)));
  EXPECT_EQ(w.sink.wait(), FinishReason::kLength);
  for (int tick = 0; tick < w.config.watch.n_ticks + 5; ++tick) {
    std::this_thread::sleep_for(10ms);  // its thread is on its way to sleep
    w.ticks.tick();
  }
}

// The process survives one tick less than the limit, and ends with the next one.
void stand_still(Watched& w) {
  for (int tick = 0; tick < w.config.watch.n_ticks; ++tick) w.ticks.tick();
  std::fputs("still there\n", stderr);
  w.ticks.tick();
}

TEST(WatchdogDeathTest, AStepThatStandsStillEndsTheProcessWithOneLineAndExitCode70) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto hang = [] {
    Watched w;
    w.executor.hold();
    (void)w.engine->submit(request_of(1, {10, 20}, 3));
    w.executor.wait_until_stalled();
    stand_still(w);
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(70),
              "^still there\na rank hangs in step 1: no progress for 100 ticks of 100 ms; "
              "exiting\n$");
}

TEST(WatchdogDeathTest, AnEngineThreadThatHangsOutsideOfAStepEndsTheProcessLikewise) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto hang = [] {
    Watched w;
    std::atomic<bool> is_stuck{false};
    (void)w.engine->post([&](EngineCore&) {
      is_stuck = true;
      std::this_thread::sleep_for(1min);
    });
    while (!is_stuck) std::this_thread::yield();
    stand_still(w);
  };
  EXPECT_EXIT(hang(), ::testing::ExitedWithCode(70),
              "^still there\nthe engine thread hangs outside of a step: no progress for 100 ticks "
              "of 100 ms; exiting\n$");
}

}  // namespace
}  // namespace lockstep::testing
