// The host tier seen from the engine: blocks that were evicted from the devices are loaded from
// host memory, and no token depends on it. NullExecutor keeps the host blocks' content and refuses
// loads that do not match.
#include <gtest/gtest.h>

#include "node/engine/report/cache_control.h"
#include "tests/support/random.h"
#include "tests/support/tokens.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

// Block size 4, with room for one sequence of max_model_len 64.
EngineConfig tiered_config(int depth = 1) {
  EngineConfig config = small_config(depth);
  config.limits.n_host_kv_blocks = 64;
  config.n_kv_blocks = 16;
  return config;
}

// Runs requests whose prompts share no prefix with others, until they fill the pool.
void fill_with_strangers(CoreHarness& h, uint64_t first_id) {
  for (uint64_t id = first_id; id < first_id + 2; ++id) {
    ASSERT_TRUE(
        h.accept(request_of(id, std::vector<int32_t>(40, static_cast<int32_t>(id % 7)), 8)));
    h.run();
  }
}

class HostTierEngine : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, HostTierEngine, ::testing::Values(1, 2));

TEST_P(HostTierEngine, APromptThatWasEvictedIsLoadedAgain) {
  CoreHarness h(tiered_config(GetParam()));
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 22), 5)));
  h.run();
  fill_with_strangers(h, 100);
  ASSERT_EQ(h.core.snapshot().n_host_loaded, 0u);
  GenerationRequest again = request_of(2, counting(1, 22), 5);
  again.sampling.seed = 1;
  ASSERT_TRUE(h.accept(std::move(again)));
  h.run();
  EXPECT_EQ(h.choice(2), h.choice(1));
  EXPECT_EQ(h.ending(2).usage.cached_tokens, 20u);  // five whole blocks of 22 tokens
  const EngineSnapshot s = h.core.snapshot();
  EXPECT_EQ(s.n_host_loaded, 5u);
  EXPECT_EQ(s.n_regret_tokens, 4u) << "but for the block that the answer filled";
  EXPECT_GE(s.n_host_stored, s.n_host_loaded);
}

TEST_P(HostTierEngine, APreemptedSequenceGoesOnFromHostMemory) {
  EngineConfig config = tiered_config(GetParam());
  config.n_kv_blocks = 17;
  CoreHarness h(config);
  for (uint64_t id = 1; id <= 8; ++id) {  // so that short outputs are expected
    ASSERT_TRUE(h.accept(request_of(id, {1}, 1)));
    h.run();
  }
  CoreHarness solo(small_config());
  for (uint64_t id = 10; id < 13; ++id) {
    const GenerationRequest request = request_of(id, counting(static_cast<int32_t>(id), 8), 30);
    ASSERT_TRUE(solo.accept(request));
    solo.run();
    ASSERT_TRUE(h.accept(request));
  }
  h.run();
  EXPECT_GT(h.core.snapshot().n_preemptions, 0u);
  EXPECT_GT(h.core.snapshot().n_host_loaded, 0u);
  for (uint64_t id = 10; id < 13; ++id) EXPECT_EQ(h.choice(id), solo.choice(id));
}

TEST_P(HostTierEngine, WhatIsNotWhatWasStoredIsComputedAnewAndFailsNoRequest) {
  CoreHarness h(tiered_config(GetParam()));
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 22), 5)));
  h.run();
  fill_with_strangers(h, 100);
  for (int32_t block = 0; block < 64; ++block) h.executor.rotten_host_blocks.insert(block);
  GenerationRequest again = request_of(2, counting(1, 22), 5);
  again.sampling.seed = 1;
  ASSERT_TRUE(h.accept(std::move(again)));
  ASSERT_TRUE(h.accept(request_of(3, counting(60, 6), 5)));  // beside it in the step that fails
  h.run();
  EXPECT_EQ(h.choice(2), h.choice(1));
  EXPECT_EQ(h.ending(3).reason, FinishReason::kLength);
  const EngineSnapshot s = h.core.snapshot();
  EXPECT_EQ(s.n_host_bad, 5u);
  EXPECT_EQ(s.n_failed, 0u);
  EXPECT_EQ(s.n_host_blocks[static_cast<size_t>(HostBlockState::kQuarantined)], 5);
  EXPECT_EQ(s.n_host_blocks[static_cast<size_t>(HostBlockState::kPinned)], 0);
}

// A step fails while the one behind it, which is undone with it, has found bad blocks.
TEST_P(HostTierEngine, BadBlocksAreQuarantinedWhicheverStepFailsWithThem) {
  const EngineConfig config = tiered_config(GetParam());
  NullExecutor::Options options = executor_options(config);
  options.fail_status = StepStatus::kCommFailed;
  CoreHarness h(config, options);
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 22), 5)));
  h.run();
  fill_with_strangers(h, 100);
  for (int32_t block = 0; block < 64; ++block) h.executor.rotten_host_blocks.insert(block);
  h.executor.fails_before_rotten_load = true;
  ASSERT_TRUE(h.accept(request_of(3, counting(60, 6), 9)));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(h.turn());  // it decodes
  GenerationRequest again = request_of(2, counting(1, 22), 5);
  again.sampling.seed = 1;
  ASSERT_TRUE(h.accept(std::move(again)));
  while (h.core.snapshot().decode_failures.n_retried_in_all() == 0) ASSERT_TRUE(h.turn());
  EXPECT_EQ(h.core.snapshot().n_host_bad, 5u);
  h.run();
  EXPECT_EQ(h.choice(2), h.choice(1));
  EXPECT_EQ(h.choice(3).ids.size(), 9u);
  EXPECT_EQ(h.core.snapshot().decode_failures.n_retried_in_all(), 1u) << "no block is loaded again";
  EXPECT_EQ(h.core.snapshot().n_failed, 0u);
}

TEST_P(HostTierEngine, WhatAFailedStepWasToStoreIsForgotten) {
  const auto run = [&](uint64_t fail_step, int& n_stores_failed) {
    const EngineConfig config = tiered_config(GetParam());
    NullExecutor::Options options = executor_options(config);
    options.fail_step = fail_step;
    CoreHarness h(config, options);
    h.executor.on_submit = [&](const StepPlanView& plan) {
      if (plan.header().step == fail_step) n_stores_failed += plan.header().n_stores;
    };
    for (uint64_t id = 1; id <= 12; ++id) {
      GenerationRequest request =
          request_of(id, counting(1 + 20 * static_cast<int32_t>(id % 3), 22), 5);
      request.sampling.seed = id % 3;
      ASSERT_TRUE(h.accept(std::move(request)));
      h.run();
    }
    for (uint64_t id = 4; id <= 12; ++id) EXPECT_EQ(h.choice(id), h.choice(1 + (id - 1) % 3));
    EXPECT_EQ(h.core.snapshot().n_host_bad, 0u) << "a block that was never stored was loaded";
    EXPECT_GT(h.core.snapshot().n_host_loaded, 0u);
  };
  int n_stores_failed = 0;
  for (uint64_t step = 1; step <= 60; ++step) {
    SCOPED_TRACE(step);
    run(step, n_stores_failed);
  }
  EXPECT_GT(n_stores_failed, 0) << "no step that fails stores anything";
}

TEST(HostTierOfEngine, ClearEmptiesHostMemoryToo) {
  CoreHarness h(tiered_config());
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 22), 5)));
  h.run();
  fill_with_strangers(h, 100);
  const ClearedCache cleared = clear_kv_cache(h.core, {});
  EXPECT_GT(cleared.n_host_cleared, 0);
  ASSERT_TRUE(h.accept(request_of(2, counting(1, 22), 5)));
  h.run();
  EXPECT_EQ(h.ending(2).usage.cached_tokens, 0u);
  EXPECT_EQ(h.core.snapshot().n_host_loaded, 0u);
}

// A step costs 1 ms per row, and `per_transfer` per block copied to or from host memory.
uint64_t n_loaded_at(std::chrono::microseconds per_transfer, int n_requests) {
  CoreHarness h(tiered_config());
  h.executor.on_submit = [&](const StepPlanView& plan) {
    const StepPlanHeader& header = plan.header();
    h.clock.advance(std::chrono::milliseconds(header.n_tokens) +
                    (header.n_loads + header.n_stores) * per_transfer);
  };
  for (uint64_t id = 1; id <= static_cast<uint64_t>(n_requests); ++id) {
    EXPECT_TRUE(h.accept(request_of(id, counting(1 + 20 * static_cast<int32_t>(id % 3), 22), 5)));
    h.run();
  }
  return h.core.snapshot().n_host_loaded;
}

TEST(HostTierOfEngine, BlocksAreLoadedIfThatIsMeasuredToBeCheaper) {
  const uint64_t n_cheap = n_loaded_at(std::chrono::microseconds(100), 60);
  const uint64_t n_slow = n_loaded_at(std::chrono::milliseconds(50), 60);
  EXPECT_GT(n_cheap, 100u);
  EXPECT_GT(n_slow, 0u) << "a price that falls would never be found out";
  EXPECT_LT(n_slow, 40u);
}

// A step with a decode may take 30 ms; a row takes 1 ms, a block to or from host memory 2 ms.
// Twenty rows of one prompt leave time for rows of another one, but not for the eleven blocks that
// the other one loads first.
TEST_P(HostTierEngine, BlocksToLoadTakeOfTheTimeThatDecodesCanWait) {
  EngineConfig config = tiered_config(GetParam());
  config.limits.max_tokens = 64;
  config.n_kv_blocks = 40;
  config.itl_target = std::chrono::milliseconds(30);
  CoreHarness h(config);
  std::vector<std::pair<int32_t, int32_t>> steps;  // rows, loads
  h.executor.on_submit = [&](const StepPlanView& plan) {
    const StepPlanHeader& header = plan.header();
    steps.emplace_back(header.n_tokens, header.n_loads);
    const int32_t n_transfers = header.n_loads + header.n_stores;
    h.clock.advance(std::chrono::milliseconds(header.n_tokens + 2 * n_transfers));
  };
  const std::vector<int32_t> prompt = counting(1, 46);
  ASSERT_TRUE(h.accept(request_of(1, prompt, 4)));
  h.run();
  for (uint64_t id = 100; id < 106; ++id) {
    ASSERT_TRUE(
        h.accept(request_of(id, std::vector<int32_t>(50, static_cast<int32_t>(id - 100)), 8)));
    h.run();
  }
  ASSERT_TRUE(h.accept(request_of(2, {1}, 40)));
  for (int i = 0; i < 4; ++i) h.turn();
  steps.clear();
  ASSERT_TRUE(h.accept(request_of(3, counting(60, 20), 4)));
  GenerationRequest again = request_of(4, prompt, 4);
  again.sampling.seed = 1;
  ASSERT_TRUE(h.accept(std::move(again)));
  h.run();
  EXPECT_EQ(h.choice(4), h.choice(1));
  EXPECT_EQ(h.ending(4).usage.cached_tokens, 44u);
  EXPECT_EQ(steps.front(), std::pair(21, 0));
  EXPECT_EQ(std::ranges::count_if(steps, [](const auto& step) { return step.second > 0; }), 1);
}

TEST_P(HostTierEngine, RandomPressureNeverShowsInAToken) {
  uint64_t n_loaded = 0, n_bad = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    EngineConfig config = tiered_config(GetParam());
    config.limits.block_size = 1 << random.integer(0, 3);
    config.limits.max_tokens = static_cast<int32_t>(random.integer(1, 24));
    config.n_kv_blocks = n_blocks_for(random.integer(50, 90), config.limits.block_size);
    config.limits.n_host_kv_blocks = static_cast<int32_t>(random.integer(1, 60));
    config.itl_target = std::chrono::milliseconds(random.integer(0, 1) * random.integer(1, 20));
    CoreHarness h(config);
    if (random.chance(0.5)) h.executor.rotten_host_blocks.insert(0);
    const std::chrono::microseconds per_transfer(random.integer(0, 4000));
    h.executor.on_submit = [&](const StepPlanView& plan) {
      const StepPlanHeader& header = plan.header();
      h.clock.advance(std::chrono::milliseconds(header.n_tokens) +
                      (header.n_loads + header.n_stores) * per_transfer);
    };
    CoreHarness solo(small_config());
    for (uint64_t id = 0; id < 16; ++id) {
      const std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, 20)),
                                        static_cast<int32_t>(random.integer(0, 2)));
      GenerationRequest request =
          request_of(id, prompt, static_cast<int32_t>(random.integer(1, 30)));
      request.priority = static_cast<int32_t>(random.integer(0, 2));
      ASSERT_TRUE(solo.accept(request));
      solo.run();
      ASSERT_TRUE(h.accept(std::move(request)));
      for (int64_t i = random.integer(0, 5); i > 0; --i) h.turn();
      if (random.chance(0.1)) h.core.cancel(RequestId{id});
    }
    h.run();
    for (const auto& [key, transcript] : solo.sink.choices) {
      if (h.ending(static_cast<uint64_t>(key.first)).reason == FinishReason::kCancelled) continue;
      EXPECT_EQ(h.sink.choices.at(key), transcript) << "request " << raw(key.first);
    }
    n_loaded += h.core.snapshot().n_host_loaded;
    n_bad += h.core.snapshot().n_host_bad;
    EXPECT_EQ(h.core.snapshot().n_failed, 0u);
  }
  EXPECT_GT(n_loaded, 100u);
  EXPECT_GT(n_bad, 0u);
}

}  // namespace
}  // namespace lockstep::testing
