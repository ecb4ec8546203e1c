// Sequences that outgrow their reservations: which one is preempted, how often, and that no token
// depends on it.
#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

// Four sequences run, each of up to 45 tokens.
EngineConfig tight_config(int depth, int32_t n_kv_blocks) {
  EngineConfig config = small_config(depth);
  config.n_kv_blocks = n_kv_blocks;
  return config;
}

// The scheduler has seen outputs of 8 tokens and reserves no more.
void teach_short_answers(CoreHarness& h) {
  for (uint64_t id = 1000; id < 1008; ++id) {
    ASSERT_TRUE(h.accept(request_of(id, {1, 2}, 8)));
  }
  h.run();
}

class Preemption : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, Preemption, ::testing::Values(1, 2));

std::vector<int32_t> prompt_of(uint64_t id) { return {static_cast<int32_t>(id), 2, 3, 4, 5}; }

TEST_P(Preemption, ASequenceThatOutgrowsThePoolWaitsAndNothingFails) {
  CoreHarness h(tight_config(GetParam(), 20));  // 80 tokens; four of 45 need 48 blocks
  teach_short_answers(h);
  for (uint64_t id = 0; id < 8; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 40)));
  h.run();
  const EngineSnapshot s = h.core.snapshot();
  EXPECT_GT(s.n_preemptions, 0u);
  EXPECT_EQ(s.n_failed, 0u);
  EXPECT_LE(s.n_preemptions, 16u);  // two each
  CoreHarness solo(small_config());
  for (uint64_t id = 0; id < 8; ++id) {
    EXPECT_EQ(h.ending(id).reason, FinishReason::kLength);
    ASSERT_TRUE(solo.accept(request_of(id, prompt_of(id), 40)));
    solo.run();
    EXPECT_EQ(h.choice(id), solo.choice(id));
  }
}

TEST_P(Preemption, GuaranteedReservationsAreNeverTakenBack) {
  EngineConfig config = tight_config(GetParam(), 20);
  config.reservation = ReservationMode::kGuaranteed;
  CoreHarness h(config);
  teach_short_answers(h);
  for (uint64_t id = 0; id < 8; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 40)));
  h.run();
  EXPECT_EQ(h.core.snapshot().n_preemptions, 0u);
}

TEST_P(Preemption, TheOldestGoesOnAndTheNewestGivesWay) {
  CoreHarness h(tight_config(GetParam(), 16));
  teach_short_answers(h);
  for (uint64_t id = 0; id < 3; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 40)));
  while (h.core.snapshot().n_preemptions == 0) ASSERT_TRUE(h.turn());
  const Sequence* newest = h.core.scheduler().waiting().first();
  ASSERT_NE(newest, nullptr);
  EXPECT_EQ(newest->owner().request.id, RequestId{2});
  h.run();
  std::vector<uint64_t> order;
  EXPECT_EQ(h.sink.ends.size(), 11u);
}

// All three fill five of the fifteen blocks at once, and the oldest is the first to need a sixth.
TEST_P(Preemption, OfThoseWithAsMuchToLoseTheNewestGivesWay) {
  CoreHarness h(tight_config(GetParam(), 15));
  teach_short_answers(h);
  for (uint64_t id = 0; id < 3; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 40)));
  while (h.core.snapshot().n_preemptions == 0) ASSERT_TRUE(h.turn());
  EXPECT_EQ(h.core.snapshot().n_preemptions, 1u);
  EXPECT_EQ(h.core.scheduler().waiting().first()->owner().request.id, RequestId{2});
  h.run();
}

TEST_P(Preemption, ALowerPriorityGivesWayWhateverItsAge) {
  CoreHarness h(tight_config(GetParam(), 16));
  teach_short_answers(h);
  GenerationRequest humble = request_of(0, prompt_of(0), 40);
  humble.priority = 5;
  ASSERT_TRUE(h.accept(std::move(humble)));
  for (uint64_t id = 1; id < 3; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 40)));
  while (h.core.snapshot().n_preemptions == 0) ASSERT_TRUE(h.turn());
  EXPECT_EQ(h.core.scheduler().waiting().first()->owner().request.id, RequestId{0});
  h.run();
}

// Published blocks stay in the cache as long as no sequence needs the room.
TEST_P(Preemption, WhatIsStillCachedIsNotComputedAgain) {
  CoreHarness h(tight_config(GetParam(), 16));
  teach_short_answers(h);
  for (uint64_t id = 0; id < 2; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 40)));
  h.run();
  const EngineSnapshot s = h.core.snapshot();
  EXPECT_GT(s.n_preemptions, 0u);
  EXPECT_GT(s.n_recomputed_tokens, 0u);
  // Each time it was preempted, a sequence had up to 44 tokens.
  EXPECT_LT(s.n_recomputed_tokens, s.n_preemptions * 44);
}

TEST_P(Preemption, ACancelWhileItWaitsAgainFreesNothingTwice) {
  CoreHarness h(tight_config(GetParam(), 16));
  teach_short_answers(h);
  for (uint64_t id = 0; id < 3; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 40)));
  while (h.core.snapshot().n_preemptions == 0) ASSERT_TRUE(h.turn());
  h.core.cancel(RequestId{2});
  EXPECT_EQ(h.ending(2).reason, FinishReason::kCancelled);
  h.run();
  EXPECT_EQ(h.ending(0).reason, FinishReason::kLength);
}

// The second of two sequences with the same output references the first one's blocks beside its
// own. It then holds more of the pool than it needs, and too much once the first one has ended.
TEST_P(Preemption, ASequenceThatHoldsBlocksTwiceStartsOverRatherThanStandStill) {
  EngineConfig config = tight_config(GetParam(), 9);
  config.limits.max_model_len = 32;
  NullExecutor::Options options = executor_options(config);
  options.fixed_token = 7;
  CoreHarness h(config, options);
  teach_short_answers(h);
  ASSERT_TRUE(h.accept(request_of(1, {5}, 12)));
  ASSERT_TRUE(h.accept(request_of(2, {5}, 31)));
  h.run();
  EXPECT_EQ(h.ending(1).reason, FinishReason::kLength);
  EXPECT_EQ(h.ending(2).reason, FinishReason::kLength);
  EXPECT_EQ(h.choice(2).ids, std::vector<int32_t>(31, 7));
  EXPECT_EQ(h.core.snapshot().n_preemptions, 1u);
}

TEST_P(Preemption, RandomPressureNeverShowsInAToken) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SeededRandom random(seed);
    EngineConfig config = small_config(GetParam());
    config.limits.block_size = 1 << random.integer(0, 3);
    config.limits.max_tokens = static_cast<int32_t>(random.integer(1, 24));
    config.n_kv_blocks = n_blocks_for(random.integer(50, 90), config.limits.block_size);
    config.max_preemptions = static_cast<int32_t>(random.integer(0, 3));
    CoreHarness h(config);
    teach_short_answers(h);
    CoreHarness solo(small_config());
    for (uint64_t id = 0; id < 16; ++id) {
      const auto n_prompt = static_cast<size_t>(random.integer(1, 20));
      std::vector<int32_t> prompt(n_prompt, static_cast<int32_t>(random.integer(0, 1)));
      GenerationRequest request =
          request_of(id, prompt, static_cast<int32_t>(random.integer(1, 30)));
      request.priority = static_cast<int32_t>(random.integer(0, 2));
      request.sampling.n = random.chance(0.2) ? 2 : 1;
      ASSERT_TRUE(solo.accept(request));
      solo.run();
      ASSERT_TRUE(h.accept(std::move(request)));
      for (int64_t i = random.integer(0, 5); i > 0; --i) h.turn();
    }
    h.run();
    for (const auto& [key, transcript] : solo.sink.choices) {
      EXPECT_EQ(h.sink.choices.at(key), transcript) << "request " << raw(key.first);
    }
    EXPECT_LE(h.core.snapshot().n_preemptions,
              uint64_t(config.max_preemptions) * solo.sink.choices.size());
  }
}

}  // namespace
}  // namespace lockstep::testing
