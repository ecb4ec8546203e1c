// Context shift: a full context is cut, and its sequence continues. Tests what the ranks receive,
// what the client receives, and that no token depends on when the cut happened or on other
// requests.
#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

TEST(ContextCut, DropsTheOlderHalfOfWhatIsNotKept) {
  const auto expect_cut = [](const ContextCut& cut, int32_t n_kept, int32_t n_dropped) {
    EXPECT_EQ(cut.n_kept, n_kept);
    EXPECT_EQ(cut.n_dropped, n_dropped);
  };
  expect_cut(context_cut(64, 20, 8), 8, 28);
  expect_cut(context_cut(64, 20, 0), 0, 32);
  expect_cut(context_cut(64, 5, 8), 5, 29);  // keeps prompt tokens only
  expect_cut(context_cut(64, 20, kKeepPrompt), 20, 22);
  expect_cut(context_cut(63, 20, 8), 8, 27);  // half of 55
}

TEST(ContextCut, AlwaysDropsATokenAndLeavesOneBehindIt) {
  for (int32_t n_context = 2; n_context <= 40; ++n_context) {
    for (int32_t n_prompt = 0; n_prompt <= n_context; ++n_prompt) {
      for (int32_t n_keep = kKeepPrompt; n_keep <= n_context; ++n_keep) {
        const ContextCut cut = context_cut(n_context, n_prompt, n_keep);
        EXPECT_GE(cut.n_kept, 0);
        EXPECT_LE(cut.n_kept, n_prompt);
        EXPECT_GE(cut.n_dropped, 1);
        EXPECT_LT(cut.n_kept + cut.n_dropped, n_context);
      }
    }
  }
}

constexpr int32_t kMaxModelLen = 32;

EngineConfig shifting(int depth, int32_t n_keep = 8) {
  EngineConfig config = small_config(depth);
  config.limits.max_model_len = kMaxModelLen;
  config.context_shift = true;
  config.n_keep = n_keep;
  return config;
}

std::vector<int32_t> prompt_of(int32_t n_tokens) {
  std::vector<int32_t> prompt(static_cast<size_t>(n_tokens));
  for (int32_t i = 0; i < n_tokens; ++i) prompt[static_cast<size_t>(i)] = 100 + i;
  return prompt;
}

class ContextShift : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, ContextShift, ::testing::Values(1, 2));

TEST_P(ContextShift, WithoutItARequestEndsAtTheLimit) {
  EngineConfig config = shifting(GetParam());
  config.context_shift = false;
  CoreHarness h(config);
  EXPECT_FALSE(h.accept(request_of(1, prompt_of(10), 100)));
  ASSERT_TRUE(h.accept(request_of(2, prompt_of(10), -1)));
  h.run();
  EXPECT_EQ(h.choice(2).ids.size(), 22u);
  EXPECT_EQ(h.ending(2).reason, FinishReason::kLength);
  EXPECT_EQ(h.core.snapshot().n_context_shifts, 0u);
}

// 32 tokens; 12 of 24 dropped each time.
TEST_P(ContextShift, AnOutputMayOutgrowTheContext) {
  CoreHarness h(shifting(GetParam()));
  ASSERT_TRUE(h.accept(request_of(1, prompt_of(10), 200)));
  h.run();
  EXPECT_EQ(h.choice(1).ids.size(), 200u);
  EXPECT_EQ(h.ending(1).reason, FinishReason::kLength);
  EXPECT_EQ(h.ending(1).usage.prompt_tokens, 10u);
  EXPECT_EQ(h.ending(1).usage.cached_tokens, 0u);
  EXPECT_EQ(h.ending(1).usage.completion_tokens, 200u);
  const EngineSnapshot s = h.core.snapshot();
  EXPECT_EQ(s.n_context_shifts, 15u);  // after 22 outputs, then after every 12th
  // Of the 20 tokens that are left, the last was never forwarded; the first 8 are still cached.
  EXPECT_EQ(s.n_tokens_after_shift, 15u * (19 - 8));
  EXPECT_EQ(s.n_recomputed_tokens, 0u);
  EXPECT_EQ(s.n_preemptions, 0u);
  EXPECT_EQ(s.n_prompt_tokens, 10u);
}

// The sampled rows: the output's index always grows, and the context is its head and the newest
// outputs.
TEST_P(ContextShift, TheRanksReceiveTheRestOfTheContextAndTheIndexOfTheOutput) {
  CoreHarness h(shifting(GetParam(), 6));
  uint32_t n_rows = 0;
  std::vector<int32_t> lengths, n_prompts;
  h.executor.on_submit = [&](const StepPlanView& plan) {
    for (const SamplingRow& row : plan.sampling()) {
      EXPECT_EQ(row.output_idx, n_rows++);
      lengths.push_back(row.n_known);
      n_prompts.push_back(row.n_prompt);
    }
    for (int32_t position : plan.positions()) EXPECT_LT(position, kMaxModelLen);
  };
  ASSERT_TRUE(h.accept(request_of(1, prompt_of(24), 40)));
  h.run();
  ASSERT_EQ(lengths.size(), 40u);
  for (size_t i = 0, length = 24, n_prompt = 24; i < lengths.size(); ++i, ++length) {
    if (length == kMaxModelLen) {  // 6 stay, 13 go
      n_prompt = n_prompt > 19 ? n_prompt - 13 : 6;
      length -= 13;
    }
    EXPECT_EQ(lengths[i], static_cast<int32_t>(length)) << i;
    EXPECT_EQ(n_prompts[i], static_cast<int32_t>(n_prompt)) << i;
  }
}

TEST_P(ContextShift, StopsAndMinTokensCountOutputsAndNotTheContext) {
  EngineConfig config = shifting(GetParam());
  NullExecutor::Options options = executor_options(config);
  options.fixed_token = 7;
  CoreHarness h(config, options);
  GenerationRequest request = request_of(1, prompt_of(10), 500);
  request.sampling.min_tokens = 150;
  request.sampling.stop_token_ids = {7};
  ASSERT_TRUE(h.accept(std::move(request)));
  h.run();
  EXPECT_EQ(h.choice(1).ids.size(), 151u);  // 8 until then
  EXPECT_EQ(h.choice(1).finished, FinishReason::kStop);
  EXPECT_EQ(h.choice(1).stop_token, 7);
}

TEST_P(ContextShift, ACancelWhileItWaitsToGoOnFreesEverything) {
  CoreHarness h(shifting(GetParam()));
  ASSERT_TRUE(h.accept(request_of(1, prompt_of(10), 200)));
  while (h.core.snapshot().n_context_shifts == 0) ASSERT_TRUE(h.turn());
  EXPECT_EQ(h.core.snapshot().n_waiting, 1);
  h.core.cancel(RequestId{1});
  EXPECT_EQ(h.ending(1).reason, FinishReason::kCancelled);
  h.expect_empty();
}

TEST_P(ContextShift, AFailedStepBehindACutIsTakenBack) {
  CoreHarness healthy(shifting(GetParam()));
  ASSERT_TRUE(healthy.accept(request_of(1, prompt_of(10), 80)));
  healthy.run();
  for (uint64_t step = 20; step <= 30; ++step) {
    const EngineConfig config = shifting(GetParam());
    NullExecutor::Options options = executor_options(config);
    options.fail_step = step;
    CoreHarness h(config, options);
    ASSERT_TRUE(h.accept(request_of(1, prompt_of(10), 80)));
    h.run();
    EXPECT_EQ(h.core.snapshot().decode_failures.n_retried_in_all(), 1u);
    EXPECT_EQ(h.choice(1), healthy.choice(1)) << "step " << step;
  }
}

TEST_P(ContextShift, WithoutAKvCacheTheTokensAreTheSame) {
  EngineConfig uncached = shifting(GetParam());
  uncached.kv_cache = false;
  CoreHarness with(shifting(GetParam())), without(uncached);
  for (CoreHarness* h : {&with, &without}) {
    ASSERT_TRUE(h->accept(request_of(1, prompt_of(20), 90)));
    h->run();
  }
  EXPECT_EQ(with.choice(1), without.choice(1));
  EXPECT_EQ(without.core.snapshot().n_context_shifts, with.core.snapshot().n_context_shifts);
  EXPECT_EQ(without.core.snapshot().n_tokens_after_shift, 0u);
}

// Memory pressure, other tenants, chunks and choices as in preemption_test.cpp, with
// contexts that are cut several times.
TEST_P(ContextShift, RandomPressureNeverShowsInAToken) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SeededRandom random(seed);
    EngineConfig config = shifting(GetParam(), static_cast<int32_t>(random.integer(-1, 30)));
    CoreHarness solo(config);
    config.limits.block_size = 1 << random.integer(0, 3);
    config.limits.max_tokens = static_cast<int32_t>(random.integer(4, 24));
    config.n_kv_blocks = n_blocks_for(random.integer(40, 90), config.limits.block_size);
    config.max_preemptions = static_cast<int32_t>(random.integer(0, 3));
    config.prefix_cache = random.chance(0.7);
    CoreHarness h(config);
    for (uint64_t id = 0; id < 12; ++id) {
      const std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, kMaxModelLen - 1)),
                                        static_cast<int32_t>(random.integer(0, 1)));
      GenerationRequest request =
          request_of(id, prompt, static_cast<int32_t>(random.integer(1, 90)));
      request.priority = static_cast<int32_t>(random.integer(0, 2));
      request.sampling.n = random.chance(0.2) ? 2 : 1;
      ASSERT_TRUE(solo.accept(request));
      solo.run();
      ASSERT_TRUE(h.accept(std::move(request)));
      for (int64_t i = random.integer(0, 5); i > 0; --i) h.turn();
    }
    h.run();
    EXPECT_EQ(h.sink.choices, solo.sink.choices);
    EXPECT_EQ(h.core.snapshot().n_context_shifts, solo.core.snapshot().n_context_shifts);
    EXPECT_GT(h.core.snapshot().n_context_shifts, 0u);
  }
}

TEST(ContextShiftEdge, ARowOfAContextOfTwoTokensGoesOn) {
  EngineConfig config = shifting(1, 0);
  config.limits.max_model_len = 2;
  CoreHarness h(config);
  ASSERT_TRUE(h.accept(request_of(1, {5}, 30)));
  h.run();
  EXPECT_EQ(h.choice(1).ids.size(), 30u);
  EXPECT_EQ(h.core.snapshot().n_context_shifts, 29u);
}

}  // namespace
}  // namespace lockstep::testing
