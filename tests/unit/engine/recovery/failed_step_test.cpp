// Failed steps: the sequence that makes them fail is found and fails alone; the others run again
// and get the same tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

constexpr int32_t kBreaking = 66;

class FailedStep : public ::testing::TestWithParam<int> {
 protected:
  EngineConfig config() const { return small_config(GetParam()); }
  static NullExecutor::Options breaking(const EngineConfig& config) {
    NullExecutor::Options options = executor_options(config);
    options.breaking_token = kBreaking;
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, FailedStep, ::testing::Values(1, 2));

TEST_P(FailedStep, OnlyTheRequestThatMakesItFailFails) {
  CoreHarness h(config(), breaking(config()));
  for (uint64_t id : {1, 2, 4}) ASSERT_TRUE(h.accept(request_of(id, {10, int32_t(id)}, 8)));
  ASSERT_TRUE(h.accept(request_of(3, {10, kBreaking}, 8)));
  h.run();
  EXPECT_EQ(h.ending(3).reason, FinishReason::kError);
  EXPECT_EQ(h.ending(3).error, ErrorCode::kDecodeFailed);
  EXPECT_THAT(h.ending(3).message, HasSubstr("failed: rank 1 threw in linear"));
  CoreHarness healthy(config(), breaking(config()));
  for (uint64_t id : {1, 2, 4}) {
    ASSERT_TRUE(healthy.accept(request_of(id, {10, int32_t(id)}, 8)));
    healthy.run();
    EXPECT_EQ(h.choice(id), healthy.choice(id));
  }
  EXPECT_EQ(h.core.snapshot().n_failed, 1u);
  const DecodeFailures failures = h.core.snapshot().decode_failures;
  EXPECT_EQ(failures.n_failed_of(DecodeFailureCause::kCompute), 1u);
  EXPECT_GE(failures.n_retried_of(DecodeFailureCause::kCompute), 1u);
  EXPECT_EQ(failures.n_failed_of(DecodeFailureCause::kNonfinite), 0u);
}

// The bad request is the last of 16 that arrive while others decode: the search takes halves,
// quarters, …, and no other request ends.
TEST_P(FailedStep, ItTakesNoMoreTrialsThanHalvingNeeds) {
  EngineConfig c = config();
  c.limits.max_seqs = c.limits.max_samples = 16;
  c.limits.max_tokens = 64;
  c.limits.max_banned = max_banned_ids(16, FakeTokenizer());
  c.n_kv_blocks = 200;
  CoreHarness h(c, breaking(c));
  for (uint64_t id = 1; id <= 15; ++id) {
    ASSERT_TRUE(h.accept(request_of(id, {int32_t(id), 7}, 4)));
  }
  ASSERT_TRUE(h.accept(request_of(16, {kBreaking}, 4)));
  h.run();
  EXPECT_EQ(h.core.snapshot().n_failed, 1u);
  const DecodeFailures failures = h.core.snapshot().decode_failures;
  EXPECT_EQ(failures.n_retried_in_all(), 4u);  // 16, 8, 4, 2; the fifth has one sequence to blame
  EXPECT_EQ(failures.n_failed_of(DecodeFailureCause::kCompute), 1u);
}

TEST_P(FailedStep, AFaultThatPassesFailsNoRequest) {
  for (StepStatus status :
       {StepStatus::kRankFailed, StepStatus::kCommFailed, StepStatus::kPlanMismatch}) {
    NullExecutor::Options options = executor_options(config());
    options.fail_step = 3;
    options.fail_status = status;
    CoreHarness h(config(), options);
    CoreHarness healthy(config());
    for (uint64_t id : {1, 2, 3}) {
      const GenerationRequest request =
          request_of(id, std::vector<int32_t>(20, static_cast<int32_t>(id)), 8);
      ASSERT_TRUE(h.accept(request));
      ASSERT_TRUE(healthy.accept(request));
    }
    h.run();
    healthy.run();
    EXPECT_EQ(h.sink.choices, healthy.sink.choices);
    EXPECT_EQ(h.core.snapshot().n_failed, 0u);
    const DecodeFailures failures = h.core.snapshot().decode_failures;
    EXPECT_EQ(failures.n_retried_in_all(), 1u);
    EXPECT_EQ(failures.n_retried_of(cause_of(status)), 1u);
    EXPECT_EQ(failures.n_failed, DecodeFailures::Counters());
  }
}

// A collective that times out names no row, and neither do repeated timeouts.
TEST_P(FailedStep, TimeoutsInARowFailNoRequest) {
  NullExecutor::Options options = executor_options(config());
  options.fail_status = StepStatus::kCommFailed;
  CoreHarness h(config(), options);
  CoreHarness healthy(config());
  for (uint64_t id : {1, 2, 3}) {
    ASSERT_TRUE(h.accept(request_of(id, {10, int32_t(id)}, 8)));
    ASSERT_TRUE(healthy.accept(request_of(id, {10, int32_t(id)}, 8)));
  }
  const auto n_retried = [&] { return h.core.snapshot().decode_failures.n_retried_in_all(); };
  while (n_retried() < static_cast<uint64_t>(Bisection::kMaxRetries)) {
    h.executor.fail_next_step = true;
    ASSERT_TRUE(h.turn());
  }
  h.executor.fail_next_step = false;
  h.run();
  healthy.run();
  EXPECT_EQ(h.sink.choices, healthy.sink.choices);
  EXPECT_EQ(h.core.snapshot().decode_failures.n_failed, DecodeFailures::Counters());
}

// Pauses of 100 ms, 200 ms, …; requests arrive, wait and end meanwhile.
TEST_P(FailedStep, APauseThatDoublesComesBeforeEachTry) {
  EngineConfig c = config();
  c.limits.max_seqs = c.limits.max_samples = 1;
  NullExecutor::Options options = executor_options(c);
  options.fail_status = StepStatus::kCommFailed;
  CoreHarness h(c, options);
  for (uint64_t id : {1, 2, 3}) ASSERT_TRUE(h.accept(request_of(id, {10, int32_t(id)}, 8)));
  const auto turn = [&] {
    h.core.start();
    h.core.finish();
  };
  std::chrono::milliseconds pause = Bisection::kFirstPause;
  for (int n = 1; n <= 3; ++n, pause *= 2) {
    const uint64_t n_before = h.core.snapshot().n_steps;
    h.executor.fail_next_step = true;
    for (int i = 0; i < 3 && h.core.pause_left().count() == 0; ++i) turn();
    EXPECT_EQ(h.core.pause_left(), pause);
    h.clock.advance(pause - std::chrono::nanoseconds{1});
    const uint64_t n_after = h.core.snapshot().n_steps;
    EXPECT_GT(n_after, n_before);
    turn();
    EXPECT_EQ(h.core.snapshot().n_steps, n_after) << "nothing runs during the pause";
    EXPECT_EQ(h.core.n_in_flight(), 0);
    h.clock.advance(std::chrono::nanoseconds{1});
  }
  h.executor.fail_next_step = true;
  for (int i = 0; i < 3 && h.core.pause_left().count() == 0; ++i) turn();
  h.core.cancel(RequestId{1});
  EXPECT_EQ(h.ending(1).reason, FinishReason::kCancelled);
  h.run();
  for (uint64_t id : {2, 3}) EXPECT_EQ(h.choice(id).ids.size(), 8u);
}

// {1 2} has run, {3 4} runs; meanwhile 3, whose row makes steps fail, is cancelled.
TEST_P(FailedStep, TheSequenceLeftOfATrialOfTwoIsNotToBlame) {
  CoreHarness h(config(), breaking(config()));
  for (uint64_t id : {1, 2, 4}) ASSERT_TRUE(h.accept(request_of(id, {10, int32_t(id)}, 8)));
  ASSERT_TRUE(h.accept(request_of(3, {10, kBreaking}, 8)));
  while (h.core.snapshot().n_query_rows == 0) ASSERT_TRUE(h.turn());
  h.core.start();
  ASSERT_EQ(h.core.n_in_flight(), 1);
  const uint64_t n_retried = h.core.snapshot().decode_failures.n_retried_in_all();
  h.core.cancel(RequestId{3});
  h.run();
  EXPECT_GT(h.core.snapshot().decode_failures.n_retried_in_all(), n_retried) << "the trial failed";
  EXPECT_EQ(h.core.snapshot().n_failed, 0u);
  for (uint64_t id : {1, 2, 4}) EXPECT_EQ(h.choice(id).ids.size(), 8u) << id;
}

// The engine retries for three seconds; then the step's sequences fail together, and sequences that
// were not in the step continue.
TEST_P(FailedStep, RanksThatKeepMissingEachOtherFailTheStepsRequests) {
  EngineConfig c = config();
  c.limits.max_seqs = c.limits.max_samples = 2;
  NullExecutor::Options options = breaking(c);
  options.fail_status = StepStatus::kCommFailed;
  CoreHarness h(c, options);
  ASSERT_TRUE(h.accept(request_of(1, {10, kBreaking}, 8)));
  ASSERT_TRUE(h.accept(request_of(2, {10, 20}, 8)));
  ASSERT_TRUE(h.accept(request_of(3, {30}, 8)));  // waits for a slot
  h.run();
  for (uint64_t id : {1, 2}) EXPECT_EQ(h.ending(id).error, ErrorCode::kDecodeFailed);
  EXPECT_EQ(h.choice(3).ids.size(), 8u);
  const DecodeFailures failures = h.core.snapshot().decode_failures;
  const auto n_retries = static_cast<uint64_t>(Bisection::kMaxRetries);
  EXPECT_EQ(failures.n_retried_of(DecodeFailureCause::kCommunication), n_retries);
  EXPECT_EQ(failures.n_failed_of(DecodeFailureCause::kCommunication), 2u);
  EXPECT_EQ(failures.n_retried_in_all(), n_retries);
}

TEST_P(FailedStep, ACancelDuringTheSearchEndsTheSearch) {
  CoreHarness h(config(), breaking(config()));
  ASSERT_TRUE(h.accept(request_of(1, {10, kBreaking}, 8)));
  ASSERT_TRUE(h.accept(request_of(2, {10, 20}, 8)));
  while (h.core.snapshot().decode_failures.n_retried_in_all() == 0) ASSERT_TRUE(h.turn());
  h.core.cancel(RequestId{1});
  h.run();
  EXPECT_EQ(h.ending(1).reason, FinishReason::kCancelled);
  EXPECT_EQ(h.choice(2).ids.size(), 8u);
}

TEST_P(FailedStep, WhatItComputedIsNotInTheCache) {
  CoreHarness h(config(), breaking(config()));
  std::vector<int32_t> prompt(12, 5);
  prompt.push_back(kBreaking);
  ASSERT_TRUE(h.accept(request_of(1, prompt, 4)));
  h.run();
  EXPECT_EQ(h.core.snapshot().n_blocks_cached, 0);
}

TEST_P(FailedStep, AmongRandomLoadsNoOtherStreamChanges) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SeededRandom random(seed);
    EngineConfig c = config();
    c.limits.max_tokens = static_cast<int32_t>(random.integer(4, 24));
    c.n_kv_blocks = static_cast<int32_t>(random.integer(16, 40));
    CoreHarness h(c, breaking(c));
    CoreHarness solo(small_config(), breaking(small_config()));
    for (uint64_t id = 0; id < 12; ++id) {
      std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, 16)), 3);
      prompt.back() = static_cast<int32_t>(random.integer(0, 50));
      const bool is_bad = random.chance(0.25);
      if (is_bad) prompt[prompt.size() / 2] = kBreaking;
      GenerationRequest request =
          request_of(id, prompt, static_cast<int32_t>(random.integer(1, 20)));
      ASSERT_TRUE(h.accept(request));
      for (int64_t i = random.integer(0, 4); i > 0; --i) h.turn();
      if (is_bad) continue;
      ASSERT_TRUE(solo.accept(request));
      solo.run();
    }
    h.run();
    EXPECT_EQ(h.core.snapshot().n_failed + solo.sink.ends.size(), 12u);
    for (const auto& [key, transcript] : solo.sink.choices) {
      EXPECT_EQ(h.sink.choices.at(key), transcript) << "request " << raw(key.first);
    }
  }
}

TEST_P(FailedStep, ADeadlineEndsARequestWhereverItStands) {
  EngineConfig c = config();
  c.limits.max_seqs = c.limits.max_samples = 2;
  CoreHarness h(c);
  const auto at = [&](int ms) { return h.clock.now() + std::chrono::milliseconds(ms); };
  for (uint64_t id : {1, 2, 3, 4}) {
    GenerationRequest request = request_of(id, {10, 20}, 40);
    if (id % 2 == 0) request.deadline = at(id == 2 ? 10 : 20);
    ASSERT_TRUE(h.accept(std::move(request)));  // 2 runs when its time is up, 4 waits
  }
  for (int i = 0; i < 6; ++i) h.turn();
  EXPECT_TRUE(h.sink.ends.empty());
  h.clock.advance(std::chrono::milliseconds(30));
  h.turn();
  for (uint64_t id : {2, 4}) {
    EXPECT_EQ(h.ending(id).error, ErrorCode::kDeadlineExceeded);
    EXPECT_EQ(h.ending(id).reason, FinishReason::kError);
  }
  EXPECT_THAT(h.ending(2).message, HasSubstr("deadline"));
  h.run();
  for (uint64_t id : {1, 3}) EXPECT_EQ(h.choice(id).ids.size(), 40u);
}

}  // namespace
}  // namespace lockstep::testing
