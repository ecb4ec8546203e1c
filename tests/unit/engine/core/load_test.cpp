// What a snapshot says of the work ahead: prompt tokens still to be computed, the context of the
// sequences that decode, and what a step costs.
#include <gtest/gtest.h>

#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

std::vector<int32_t> prompt_of(int32_t n_tokens, int32_t token) {
  return std::vector<int32_t>(static_cast<size_t>(n_tokens), token);
}

EngineConfig large_config() {
  EngineConfig config = small_config();
  config.limits.max_model_len = 256;
  config.n_kv_blocks = 256;
  return config;
}

TEST(EngineLoad, PromptTokensArePendingUntilTheirStepIsDone) {
  CoreHarness h(large_config());  // 16 rows in a step
  EXPECT_TRUE(h.accept(request_of(1, prompt_of(40, 7), 8)));
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 40);
  h.core.start();
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 40) << "tokens in flight are not computed";
  h.core.finish();
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 24);
  EXPECT_EQ(h.core.snapshot().n_context_tokens, 0);
  h.turn();
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 8);
  h.turn();
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 0);
  EXPECT_EQ(h.core.snapshot().n_context_tokens, 41);
  h.turn();
  EXPECT_EQ(h.core.snapshot().n_context_tokens, 42);
  h.run();
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 0);
  EXPECT_EQ(h.core.snapshot().n_context_tokens, 0);
}

TEST(EngineLoad, WaitingPromptsCountWithoutWhatTheCacheHas) {
  CoreHarness h(large_config());
  EXPECT_TRUE(h.accept(request_of(1, prompt_of(41, 7), 2)));
  h.run();
  EXPECT_TRUE(h.accept(request_of(2, prompt_of(41, 7), 2)));  // 10 blocks of 4 are cached
  EXPECT_TRUE(h.accept(request_of(3, prompt_of(30, 9), 2)));
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 1 + 30);
  h.run();
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 0);
}

TEST(EngineLoad, APromptThatSeveralWaitForCountsOnce) {
  CoreHarness h(large_config());
  GenerationRequest choices = request_of(1, prompt_of(13, 7), 2);
  choices.sampling.n = 3;
  EXPECT_TRUE(h.accept(choices));
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 13) << "three choices of one prompt";
  EXPECT_TRUE(h.accept(request_of(2, prompt_of(13, 7), 2)));
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 13 + 13);
  h.core.start();  // the first choice runs; the three others wait for its 3 blocks of 4 tokens
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 13 + 3 * 1);
  h.core.finish();
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 1) << "queued choices count with the first";
  h.run();
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 0);
}

TEST(EngineLoad, ACancelledRequestLeavesNothingPending) {
  CoreHarness h(large_config());
  EXPECT_TRUE(h.accept(request_of(1, prompt_of(40, 7), 8)));
  EXPECT_TRUE(h.accept(request_of(2, prompt_of(50, 8), 8)));
  h.turn();
  h.core.cancel(RequestId{1});
  h.core.cancel(RequestId{2});
  h.turn();
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens_pending, 0);
  EXPECT_EQ(h.core.snapshot().n_context_tokens, 0);
}

// The clock moves by what the shape of each step costs.
TEST(EngineLoad, TheCostsOfAStepAreFittedToTheStepsThatRan) {
  CoreHarness h(large_config());
  h.executor.on_submit = [&](const StepPlanView& plan) {
    const int64_t us = 1000 + 50 * int64_t{plan.header().n_tokens};
    h.clock.advance(std::chrono::microseconds(us));
  };
  for (uint64_t id = 1; id <= 4; ++id) {
    EXPECT_FALSE(id == 1 && h.core.snapshot().step_costs.has_value());
    EXPECT_TRUE(h.accept(request_of(id, prompt_of(20 + 7 * int32_t(id), int32_t(id)), 10)));
    h.turn();
  }
  h.run();
  const std::optional<StepCosts> costs = h.core.snapshot().step_costs;
  ASSERT_TRUE(costs);
  EXPECT_NEAR(costs->base + 16 * costs->prompt_token, 0.0018, 0.0002);
  EXPECT_NEAR(costs->base + 3 * costs->sequence + 100 * costs->context, 0.00115, 0.0002);
}

}  // namespace
}  // namespace lockstep::testing
