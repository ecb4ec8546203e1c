// EngineCore, one turn at a time: the stages of a request, with one and with two steps in flight.
// The property tests are in engine_property_test.cpp.
#include "node/engine/core/engine_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

class EngineCoreTest : public ::testing::TestWithParam<int> {
 protected:
  EngineConfig config() const { return small_config(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(StepsInFlight, EngineCoreTest, ::testing::Values(1, 2));

TEST_P(EngineCoreTest, ARequestGetsItsTokensAndOneFinalMessage) {
  CoreHarness h(config());
  ASSERT_TRUE(h.accept(request_of(1, {10, 20, 30}, 6)));
  h.run();
  EXPECT_EQ(h.choice(1).ids.size(), 6u);
  EXPECT_EQ(h.choice(1).finished, FinishReason::kLength);
  EXPECT_EQ(h.ending(1).reason, FinishReason::kLength);
  EXPECT_EQ(h.ending(1).usage.prompt_tokens, 3u);
  EXPECT_EQ(h.ending(1).usage.completion_tokens, 6u);
  EXPECT_EQ(h.ending(1).usage.cached_tokens, 0u);
}

TEST_P(EngineCoreTest, CountersTellWhatHappened) {
  CoreHarness h(config());
  ASSERT_TRUE(h.accept(request_of(1, std::vector<int32_t>(20, 5), 6)));
  ASSERT_TRUE(h.accept(request_of(2, {1}, 1)));
  h.run();
  const EngineSnapshot s = h.core.snapshot();
  EXPECT_EQ(s.n_prompt_tokens, 21u);
  EXPECT_EQ(s.n_output_tokens, 7u);
  EXPECT_EQ(s.n_length, 2u);
  EXPECT_EQ(s.n_query_rows, 20u + 5u + 1u);  // no padding and no needless row: lengths are known
  EXPECT_GE(s.n_steps, 7u);
  EXPECT_EQ(s.n_blocks_active, 0);
}

TEST_P(EngineCoreTest, ChoicesDifferAndPromptIsCountedOnce) {
  CoreHarness h(config());
  GenerationRequest request = request_of(1, {10, 20, 30}, 5);
  request.sampling.n = 6;  // more than run at once
  ASSERT_TRUE(h.accept(request));
  h.run();
  for (uint32_t i = 0; i < 6; ++i) EXPECT_EQ(h.choice(1, i).ids.size(), 5u);
  EXPECT_NE(h.choice(1, 0).ids, h.choice(1, 1).ids);
  EXPECT_EQ(h.ending(1).usage.prompt_tokens, 3u);
  EXPECT_EQ(h.ending(1).usage.completion_tokens, 30u);
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens, 3u);

  CoreHarness alone(config());
  request.sampling.n = 1;
  ASSERT_TRUE(alone.accept(request));
  alone.run();
  EXPECT_EQ(alone.choice(1), h.choice(1, 0));
}

// The prompts of one API call share their seed in this way.
TEST_P(EngineCoreTest, ALaterFirstChoiceDrawsAsThatChoiceDoes) {
  CoreHarness h(config()), later(config());
  GenerationRequest request = request_of(1, {10, 20, 30}, 5);
  request.sampling.n = 4;
  ASSERT_TRUE(h.accept(request));
  h.run();
  request.sampling.n = 2;
  request.sampling.first_choice = 2;
  ASSERT_TRUE(later.accept(request));
  later.run();
  for (uint32_t i = 0; i < 2; ++i) {
    EXPECT_EQ(later.choice(1, i).ids, h.choice(1, 2 + i).ids);
    EXPECT_NE(later.choice(1, i).ids, h.choice(1, i).ids);
  }
}

TEST_P(EngineCoreTest, LogprobsComeWhenAskedFor) {
  CoreHarness h(config());
  for (int32_t n : {-1, 0, 3}) {
    GenerationRequest request = request_of(static_cast<uint64_t>(n + 1), {10, 20}, 4);
    request.sampling.n_logprobs = n;
    ASSERT_TRUE(h.accept(request));
  }
  h.run();
  EXPECT_TRUE(h.choice(0).logprobs.empty());
  EXPECT_EQ(h.choice(1).logprobs.size(), 4u);
  EXPECT_TRUE(h.choice(1).top.empty());
  EXPECT_EQ(h.choice(4).logprobs.size(), 4u);
  ASSERT_EQ(h.choice(4).top.size(), 12u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(h.choice(4).top[3 * i].id, h.choice(4).ids[i]);
}

TEST_P(EngineCoreTest, ManyRequestsInAPoolForThreeEqualTheirSoloRuns) {
  EngineConfig tight = config();
  tight.n_kv_blocks = 3 * 5;  // 20 tokens each
  CoreHarness h(tight);
  const auto request = [](uint64_t id) {
    return request_of(id, {static_cast<int32_t>(id), 7, static_cast<int32_t>(200 - id)},
                      17 - static_cast<int32_t>(id % 5));
  };
  for (uint64_t id = 0; id < 64; ++id) ASSERT_TRUE(h.accept(request(id)));
  h.run();
  ASSERT_EQ(h.sink.ends.size(), 64u);
  for (uint64_t id = 0; id < 64; ++id) {
    CoreHarness alone(small_config(1));
    ASSERT_TRUE(alone.accept(request(id)));
    alone.run();
    EXPECT_EQ(h.choice(id), alone.choice(id)) << "request " << id;
  }
}

TEST_P(EngineCoreTest, ANonFiniteRowFailsOnlyItsRequest) {
  const auto run = [&](bool with_poison) {
    NullExecutor::Options options = executor_options(config());
    options.poison_token = 66;
    auto h = std::make_unique<CoreHarness>(config(), options);
    EXPECT_TRUE(h->accept(request_of(1, {10, 20}, 8)));
    GenerationRequest bad = request_of(2, {10, with_poison ? 66 : 65}, 8);
    bad.sampling.n = 2;
    EXPECT_TRUE(h->accept(bad));
    EXPECT_TRUE(h->accept(request_of(3, {30}, 8)));
    h->run();
    return h;
  };
  const auto h = run(true);
  EXPECT_EQ(h->ending(2).reason, FinishReason::kError);
  EXPECT_EQ(h->ending(2).error, ErrorCode::kDecodeFailed);
  EXPECT_THAT(h->ending(2).message, HasSubstr("NaN"));
  EXPECT_EQ(h->choice(2, 0).finished, FinishReason::kError);
  EXPECT_EQ(h->choice(2, 1).finished, FinishReason::kError);
  EXPECT_TRUE(h->choice(2, 0).ids.empty());
  EXPECT_EQ(h->core.snapshot().n_failed, 1u);
  EXPECT_EQ(h->core.snapshot().decode_failures.n_failed_of(DecodeFailureCause::kNonfinite), 1u);
  const auto healthy = run(false);
  EXPECT_EQ(h->choice(1), healthy->choice(1));
  EXPECT_EQ(h->choice(3), healthy->choice(3));
}

TEST_P(EngineCoreTest, ACancelFreesEverythingWithinOneStep) {
  CoreHarness h(config());
  ASSERT_TRUE(h.accept(request_of(1, {10, 20}, 40)));
  ASSERT_TRUE(h.accept(request_of(2, {10, 21}, 20)));
  for (int i = 0; i < 5; ++i) h.turn();
  h.core.cancel(RequestId{1});
  EXPECT_EQ(h.ending(1).reason, FinishReason::kCancelled);
  EXPECT_EQ(h.choice(1).finished, FinishReason::kCancelled);
  const uint64_t n_steps = h.core.snapshot().n_steps;
  while (h.core.snapshot().n_steps == n_steps) h.turn();
  EXPECT_EQ(h.core.snapshot().n_running, 1);
  h.core.cancel(RequestId{1});   // again: ignored
  h.core.cancel(RequestId{77});  // unknown: ignored
  h.run();
  EXPECT_EQ(h.choice(2).ids.size(), 20u);
  EXPECT_EQ(h.core.snapshot().n_cancelled, 1u);
}

// A request with two choices and a chunked prompt, beside another one, is cancelled after each
// possible number of turns.
TEST_P(EngineCoreTest, CancelAtEveryBoundaryLeavesTheNeighbourAlone) {
  const auto run = [&](int n_turns) {
    auto h = std::make_unique<CoreHarness>(config());
    EXPECT_TRUE(h->accept(request_of(1, {10, 20}, 12)));
    GenerationRequest victim = request_of(2, std::vector<int32_t>(37, 9), 6);
    victim.sampling.n = 2;
    EXPECT_TRUE(h->accept(victim));
    for (int i = 0; i < n_turns; ++i) h->turn();
    h->core.cancel(RequestId{2});
    h->run();
    return h;
  };
  const auto whole = run(1000);
  EXPECT_EQ(whole->ending(2).reason, FinishReason::kLength);
  for (int n_turns = 0; n_turns < 20; ++n_turns) {
    const auto h = run(n_turns);
    EXPECT_EQ(h->choice(1), whole->choice(1)) << n_turns;
    ASSERT_EQ(h->sink.ends.size(), 2u);
    for (uint32_t i = 0; i < 2; ++i) {  // what came before the cancel is a prefix
      const auto& part = h->choice(2, i).ids;
      const auto& all = whole->choice(2, i).ids;
      EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin()));
      EXPECT_TRUE(h->choice(2, i).finished.has_value());
    }
  }
}

TEST_P(EngineCoreTest, WithTwoStepsInFlightTheSecondIsPlannedBeforeTheFirstIsSeen) {
  CoreHarness h(config());
  int n_from_history = 0;
  int n_most = 0;
  h.executor.on_submit = [&](const StepPlanView& plan) {
    for (int32_t token : plan.tokens()) n_from_history += token < 0;
  };
  ASSERT_TRUE(h.accept(request_of(1, {10, 20}, 10)));
  while (h.turn()) n_most = std::max(n_most, h.core.n_in_flight());
  EXPECT_EQ(n_from_history, GetParam() == 2 ? 9 : 0);
  EXPECT_EQ(n_most, GetParam() - 1);
}

// The row planned before the end was seen is needless; it costs one row and no more.
TEST_P(EngineCoreTest, ARowPlannedBeforeTheEndWasSeenIsThrownAway) {
  NullExecutor::Options options = executor_options(config());
  options.script = {65, 66, FakeTokenizer::kEnd, 67};
  CoreHarness h(config(), options);
  GenerationRequest request = request_of(1, {10, 20}, 30);
  request.sampling.ignore_eos = false;
  ASSERT_TRUE(h.accept(request));
  h.run();
  EXPECT_EQ(h.choice(1).ids, (std::vector<int32_t>{65, 66, FakeTokenizer::kEnd}));
  EXPECT_EQ(h.core.snapshot().n_query_rows, GetParam() == 2 ? 5u : 4u);
}

TEST_P(EngineCoreTest, AnIdCanBeUsedAgainFromWithinItsEnd) {
  CoreHarness h(config());
  ASSERT_TRUE(h.accept(request_of(1, {10, 20}, 3)));
  int n_again = 0;
  h.sink.after = [&](const EventBatch& batch) {
    if (batch.ends.empty() || n_again++ == 3) return;
    h.sink.ends.clear();
    h.sink.choices.clear();
    h.core.accept(std::make_unique<LiveRequest>(request_of(1, {10, 20}, 3)));
  };
  h.run();
  EXPECT_EQ(n_again, 4);
}

TEST_P(EngineCoreTest, TimeWithAStepInFlightIsCounted) {
  CoreHarness h(config());
  h.executor.on_submit = [&](const StepPlanView&) { h.clock.advance(std::chrono::seconds(1)); };
  ASSERT_TRUE(h.accept(request_of(1, {10, 20}, 5)));
  h.run();
  h.clock.advance(std::chrono::seconds(100));  // idle
  ASSERT_TRUE(h.accept(request_of(2, {10, 20}, 5)));
  h.run();
  EXPECT_EQ(h.core.snapshot().busy, std::chrono::seconds(10));
}

// The result of a step other than the awaited one must not reach a stream.
class LyingExecutor final : public Executor {
 public:
  explicit LyingExecutor(Executor& honest) : honest_(honest) {}
  void submit(std::span<const std::byte> plan) override { honest_.submit(plan); }
  int max_steps_in_flight() const override { return 1; }
  void wait_result(StepResult& result) override {
    honest_.wait_result(result);
    if (result.step == 3) result.step = 2;
  }

 private:
  Executor& honest_;
};

TEST(EngineCore, AResultOfAnotherStepIsThrownAwayAndTheStepRunsAgain) {
  const EngineConfig config = small_config();
  NullExecutor honest(executor_options(config));
  LyingExecutor executor(honest);
  FakeTokenizer tokenizer;
  FakeClock clock;
  Recorder sink;
  EngineCore core(config, executor, tokenizer, clock, sink);
  core.accept(std::make_unique<LiveRequest>(request_of(1, {10}, 9)));
  while (!core.idle()) {
    clock.advance(core.pause_left());
    core.start();
    core.finish();
  }
  CoreHarness healthy(config);
  ASSERT_TRUE(healthy.accept(request_of(1, {10}, 9)));
  healthy.run();
  EXPECT_EQ(sink.choices.at({RequestId{1}, 0}), healthy.choice(1));
  EXPECT_EQ(core.snapshot().decode_failures.n_retried_of(DecodeFailureCause::kPlanMismatch), 1u);
}

// Without Admission a request may be accepted that can never run; it must not wait for ever.
TEST(EngineCore, AHeadOfLineThatAnEmptyPoolCannotHoldIsFailed) {
  CoreHarness h(small_config());
  h.core.accept(std::make_unique<LiveRequest>(request_of(1, {1, 2, 3}, 5000)));
  ASSERT_TRUE(h.accept(request_of(2, {10, 20}, 3)));
  h.run();
  EXPECT_EQ(h.ending(1).error, ErrorCode::kInternal);
  EXPECT_EQ(h.choice(2).ids.size(), 3u);
}

}  // namespace
}  // namespace lockstep::testing
