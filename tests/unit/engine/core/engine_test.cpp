// Engine: its thread, submission, and the ways in which it ends. Callers run on other threads.
#include "node/engine/core/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <future>
#include <thread>

#include "node/engine/core/engine_core.h"
#include "node/engine/report/cache_control.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

// A Recorder that a test thread can wait on, for at most a minute.
class SharedRecorder final : public EngineSink {
 public:
  void on_events(const EventBatch& batch) override {
    {
      std::lock_guard lock(mutex_);
      recorder_.on_events(batch);
    }
    changed_.notify_all();
    if (after) after(batch);
  }
  void wait_ends(size_t n) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, 60s, [&] { return recorder_.ends.size() >= n; }));
  }
  // To be called once the engine has stopped, or for requests that have ended.
  Recorder& recorder() { return recorder_; }

  std::function<void(const EventBatch&)> after;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Recorder recorder_;
};

struct Running {
  explicit Running(const EngineConfig& engine_config, bool start = true)
      : config(engine_config),
        executor(executor_options(config)),
        engine(config, executor, tokenizer, clock, sink) {
    if (start) engine.start();
  }
  ~Running() { executor.release(); }  // so that a failed test ends

  void wait_until(const std::function<bool()>& is_true) const {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!is_true() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(1ms);
    }
    EXPECT_TRUE(is_true());
  }
  void expect_all_blocks_free() const {
    wait_until([&] {
      const EngineSnapshot s = engine.snapshot();
      return s.n_blocks_active == 0 && s.n_running + s.n_waiting == 0;
    });
  }

  const EngineConfig config;
  FakeTokenizer tokenizer;
  SteadyClock clock;
  SharedRecorder sink;
  NullExecutor executor;
  Engine engine;
};

class EngineTest : public ::testing::TestWithParam<int> {
 protected:
  EngineConfig config() const { return small_config(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, EngineTest, ::testing::Values(1, 2));

TEST_P(EngineTest, ServesAndSleepsAndServesAgain) {
  Running r(config());
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(r.engine.submit(request_of(id, {10, 20}, 5)));
    r.sink.wait_ends(id);
    EXPECT_EQ(r.sink.recorder().choices.at({RequestId{id}, 0}).ids.size(), 5u);
  }
  r.expect_all_blocks_free();
}

TEST_P(EngineTest, RefusesWithoutAFinalMessage) {
  Running r(config());
  const Result<int32_t> refused = r.engine.submit(request_of(1, {}, 5));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(r.engine.submit(request_of(2, {1}, 1000)).error().code,
            ErrorCode::kContextLengthExceeded);
  ASSERT_TRUE(r.engine.submit(request_of(3, {1}, 2)));
  r.sink.wait_ends(1);
  r.engine.stop();
  EXPECT_EQ(r.sink.recorder().ends.size(), 1u);
  EXPECT_EQ(r.engine.snapshot().n_rejected, 2u);
  EXPECT_EQ(r.engine.snapshot().n_accepted, 1u);
}

TEST_P(EngineTest, AFullQueueIsOverloadedWithTheNumbers) {
  EngineConfig c = config();
  c.max_queued_requests = 3;
  Running r(c, /*start=*/false);
  for (uint64_t id = 0; id < 3; ++id) ASSERT_TRUE(r.engine.submit(request_of(id, {1}, 2)));
  const Result<int32_t> refused = r.engine.submit(request_of(3, {1}, 2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
  EXPECT_THAT(refused.error().message, HasSubstr("3 requests are waiting, the queue holds 3"));
  EXPECT_EQ(r.engine.snapshot().n_waiting, 3);
  r.engine.start();
  r.sink.wait_ends(3);
  ASSERT_TRUE(r.engine.submit(request_of(3, {1}, 2)));
  r.sink.wait_ends(4);
}

TEST_P(EngineTest, TheQueueCountsWhatWaitsInTheEngineToo) {
  EngineConfig c = config();
  c.limits.max_seqs = c.limits.max_samples = 1;
  c.max_queued_requests = 2;
  int n_batches = 0;
  Running r(c);
  r.sink.after = [&](const EventBatch&) {  // by the fifth batch 1 and 2 wait in the engine
    if (++n_batches == 5) r.executor.hold();
  };
  r.executor.hold();
  ASSERT_TRUE(r.engine.submit(request_of(0, {1}, 30)));
  r.executor.wait_until_stalled();  // 0 runs
  ASSERT_TRUE(r.engine.submit(request_of(1, {1}, 2)));
  ASSERT_TRUE(r.engine.submit(request_of(2, {1}, 2)));
  EXPECT_EQ(r.engine.submit(request_of(3, {1}, 2)).error().code, ErrorCode::kOverloaded);
  r.executor.release();
  r.executor.wait_until_stalled();
  EXPECT_EQ(r.engine.submit(request_of(3, {1}, 2)).error().code, ErrorCode::kOverloaded);
  r.executor.release();
  r.sink.wait_ends(3);
}

TEST_P(EngineTest, ALiveIdIsAConflictAndAnEndedOneIsFree) {
  Running r(config(), /*start=*/false);
  ASSERT_TRUE(r.engine.submit(request_of(1, {1}, 2)));
  EXPECT_EQ(r.engine.submit(request_of(1, {1}, 2)).error().code, ErrorCode::kConflict);
  Result<int32_t> again = Error{};
  std::once_flag once;
  r.sink.after = [&](const EventBatch& batch) {
    if (batch.ends.empty()) return;
    std::call_once(once, [&] {
      r.sink.recorder() = Recorder();
      again = r.engine.submit(request_of(1, {1}, 2));  // while its end is being delivered
    });
  };
  r.engine.start();
  r.wait_until([&] { return r.engine.snapshot().n_length == 2; });
  r.engine.stop();
  EXPECT_TRUE(again);
}

TEST_P(EngineTest, TheSnapshotKnowsAnEndBeforeTheSinkDoes) {
  Running r(config());
  uint64_t n_seen = 0;
  r.sink.after = [&](const EventBatch& batch) {
    n_seen += batch.ends.size();
    EXPECT_EQ(r.engine.snapshot().n_length, n_seen);
    if (GetParam() == 1 && !batch.ends.empty() && n_seen == 1) {
      EXPECT_EQ(r.engine.snapshot().n_blocks_active, 0);
    }
  };
  ASSERT_TRUE(r.engine.submit(request_of(1, {1, 2, 3}, 4)));
  r.sink.wait_ends(1);
  r.engine.stop();
}

TEST_P(EngineTest, ACancelFromAnotherThreadEndsTheRequestAndFreesItsBlocks) {
  std::once_flag once;
  Running r(config());
  r.sink.after = [&](const EventBatch&) {  // its first token is out, 59 are not
    std::call_once(once, [&] { r.executor.hold(); });
  };
  ASSERT_TRUE(r.engine.submit(request_of(1, {1, 2}, 60)));
  r.executor.wait_until_stalled();
  r.engine.cancel(RequestId{1});
  r.engine.cancel(RequestId{1});
  r.engine.cancel(RequestId{999});
  r.executor.release();
  r.sink.wait_ends(1);
  r.expect_all_blocks_free();
  r.engine.stop();
  EXPECT_EQ(r.sink.recorder().ends.at(RequestId{1}).reason, FinishReason::kCancelled);
  EXPECT_LT(r.sink.recorder().choices.at({RequestId{1}, 0}).ids.size(), 60u);
}

TEST_P(EngineTest, ACancelBeforeTheRequestWasEvenReadEndsIt) {
  Running r(config(), /*start=*/false);
  ASSERT_TRUE(r.engine.submit(request_of(1, {1, 2}, 6)));
  ASSERT_TRUE(r.engine.submit(request_of(2, {1, 2}, 6)));
  r.engine.cancel(RequestId{1});
  r.engine.start();
  r.sink.wait_ends(2);
  r.engine.stop();
  EXPECT_EQ(r.sink.recorder().ends.at(RequestId{1}).reason, FinishReason::kCancelled);
  EXPECT_EQ(r.sink.recorder().ends.at(RequestId{2}).reason, FinishReason::kLength);
}

TEST_P(EngineTest, DrainFinishesWhatRunsAndWaitsAndRefusesTheRest) {
  EngineConfig c = config();
  c.limits.max_seqs = c.limits.max_samples = 1;
  Running r(c);
  r.executor.hold();
  for (uint64_t id = 0; id < 4; ++id) ASSERT_TRUE(r.engine.submit(request_of(id, {1}, 5)));
  r.executor.wait_until_stalled();
  r.engine.drain();
  EXPECT_FALSE(r.engine.drained());
  EXPECT_EQ(r.engine.submit(request_of(9, {1}, 5)).error().code, ErrorCode::kNoNodeReady);
  r.executor.release();
  r.wait_until([&] { return r.engine.drained(); });
  r.engine.stop();
  EXPECT_EQ(r.sink.recorder().ends.size(), 4u);
  for (uint64_t id = 0; id < 4; ++id) {
    EXPECT_EQ(r.sink.recorder().ends.at(RequestId{id}).reason, FinishReason::kLength);
  }
}

TEST_P(EngineTest, AnIdleEngineIsDrainedAtOnce) {
  Running r(config());
  EXPECT_FALSE(r.engine.drained());
  r.engine.drain();
  EXPECT_TRUE(r.engine.drained());
}

TEST_P(EngineTest, StopCancelsWhatIsLeftAndCanBeCalledTwice) {
  Running r(config());
  r.executor.hold();
  for (uint64_t id = 0; id < 10; ++id) ASSERT_TRUE(r.engine.submit(request_of(id, {1}, 50)));
  r.executor.wait_until_stalled();
  std::thread releaser([&] { r.executor.release(); });
  r.engine.stop();
  releaser.join();
  EXPECT_EQ(r.sink.recorder().ends.size(), 10u);
  EXPECT_EQ(r.engine.submit(request_of(11, {1}, 5)).error().code, ErrorCode::kNoNodeReady);
  r.engine.stop();
  r.expect_all_blocks_free();
}

TEST_P(EngineTest, StopWithoutStartStillEndsWhatWasAccepted) {
  Running r(config(), /*start=*/false);
  ASSERT_TRUE(r.engine.submit(request_of(1, {1}, 5)));
  r.engine.stop();
  EXPECT_EQ(r.sink.recorder().ends.at(RequestId{1}).reason, FinishReason::kCancelled);
}

TEST_P(EngineTest, ATaskRunsOnTheEngineThreadBetweenTurns) {
  Running node(small_config(GetParam()));
  std::promise<std::pair<std::thread::id, bool>> answer;
  ASSERT_TRUE(node.engine.post([&](EngineCore& core) {
    answer.set_value({std::this_thread::get_id(), core.idle()});
  }));
  const auto [thread, was_idle] = answer.get_future().get();
  EXPECT_NE(thread, std::this_thread::get_id());
  EXPECT_TRUE(was_idle);
  node.engine.stop();
  EXPECT_FALSE(node.engine.post([](EngineCore&) { ADD_FAILURE() << "ran after the end"; }));
}

TEST_P(EngineTest, TheSnapshotShowsATaskBeforeItsAnswerIsGiven) {
  Running node(small_config(GetParam()));
  ASSERT_TRUE(node.engine.submit(request_of(1, {1, 2, 3, 4, 5, 6, 7, 8}, 5)));
  node.sink.wait_ends(1);
  const auto is_idle = [&] {
    std::promise<bool> answer;
    EXPECT_TRUE(node.engine.post([&](EngineCore& core) { answer.set_value(core.idle()); }));
    return answer.get_future().get();
  };
  while (!is_idle()) std::this_thread::yield();
  std::promise<std::pair<int32_t, int32_t>> cached;
  int32_t before = 0;
  ASSERT_TRUE(node.engine.post(
      [&](EngineCore& core) {
        before = core.snapshot().n_blocks_cached;
        clear_kv_cache(core, {});
      },
      [&] {
        cached.set_value({before, node.engine.snapshot().n_blocks_cached});
      }));
  const auto [n_before, n_after] = cached.get_future().get();
  EXPECT_GT(n_before, 0);
  EXPECT_EQ(n_after, 0);
}

TEST_P(EngineTest, AnIdleEngineSleeps) {
  Running r(config());
  ASSERT_TRUE(r.engine.submit(request_of(1, {1}, 5)));
  r.sink.wait_ends(1);
  const std::clock_t before = std::clock();  // of the whole process
  std::this_thread::sleep_for(200ms);
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.1);
}

// Many callers at once, some of which cancel, and a reader of snapshots beside them.
TEST_P(EngineTest, EveryAcceptedRequestHasExactlyOneEnd) {
  constexpr uint64_t kThreads = 4, kEach = 100;
  Running r(config());
  std::atomic<uint64_t> n_accepted{0};
  std::atomic<bool> is_over{false};
  std::thread reader([&] {
    EngineSnapshot last;
    while (!is_over) {
      const EngineSnapshot s = r.engine.snapshot();
      EXPECT_GE(s.n_steps, last.n_steps);
      EXPECT_GE(s.n_output_tokens, last.n_output_tokens);
      EXPECT_GE(s.n_accepted, s.n_stopped + s.n_length + s.n_cancelled + s.n_failed);
      EXPECT_EQ(s.n_blocks_free + s.n_blocks_cached + s.n_blocks_active, s.n_blocks_total);
      last = s;
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> callers;
  for (uint64_t t = 0; t < kThreads; ++t) {
    callers.emplace_back([&, t] {
      for (uint64_t i = 0; i < kEach; ++i) {
        const uint64_t id = t * kEach + i;
        const auto n = static_cast<int32_t>(1 + id % 9);
        if (r.engine.submit(request_of(id, {n, 2, 3}, n))) ++n_accepted;
        if (id % 3 == 0) r.engine.cancel(RequestId{id});
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  r.sink.wait_ends(n_accepted);
  r.expect_all_blocks_free();
  is_over = true;
  reader.join();
  r.engine.stop();
  EXPECT_EQ(r.sink.recorder().ends.size(), n_accepted);
  const EngineSnapshot s = r.engine.snapshot();
  EXPECT_EQ(s.n_accepted, n_accepted);
  EXPECT_EQ(s.n_stopped + s.n_length + s.n_cancelled + s.n_failed, n_accepted);
  EXPECT_EQ(s.n_invariant_violations(), 0u);
}

}  // namespace
}  // namespace lockstep::testing
