// route_cost: each term of the predicted time.
#include "coordinator/route/route_cost.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

constexpr wire::StepTimes kTimes = {
    .base = 8, .prompt_token = 0.5, .prompt_context = 0.001, .sequence = 0.25, .context = 0.01};

RouteRequest request(int64_t n_prompt_tokens) {
  RouteRequest out;
  out.n_prompt_tokens = n_prompt_tokens;
  return out;
}

RouteCandidate idle() {
  RouteCandidate out;
  out.capacity = 4;
  out.n_blocks_free = 100;
  return out;
}

TEST(RouteCost, AnIdleNodeCostsThePromptAndTheOutput) {
  const RouteCost cost = route_cost(request(100), idle(), kTimes, 10);
  EXPECT_DOUBLE_EQ(cost.queue, 0);
  EXPECT_DOUBLE_EQ(cost.prefill, 8 + 100 * 0.5 + 100 * 50 * 0.001);
  EXPECT_DOUBLE_EQ(cost.decode, 10 * (8 + 0.25 + 0.01 * 100));
  EXPECT_DOUBLE_EQ(cost.streams, 0);
  EXPECT_DOUBLE_EQ(cost.eviction, 0);
  EXPECT_DOUBLE_EQ(cost.work, 100 * 0.5 / 2);
  EXPECT_DOUBLE_EQ(cost.total(), cost.prefill + cost.decode + cost.work);
}

TEST(RouteCost, CachedTokensCostOnlyTheirAttention) {
  RouteCandidate node = idle();
  node.n_cached_tokens = 80;
  const RouteCost cost = route_cost(request(100), node, kTimes, 10);
  EXPECT_DOUBLE_EQ(cost.prefill, 8 + 20 * 0.5 + 20 * (80 + 10) * 0.001);
  EXPECT_DOUBLE_EQ(cost.work, 20 * 0.5 / 2);
}

TEST(RouteCost, TheQueueIsWhatTheNodeHasStillToCompute) {
  RouteCandidate node = idle();
  node.n_pending_tokens = 300;
  EXPECT_DOUBLE_EQ(route_cost(request(100), node, kTimes, 10).queue, 150);
}

TEST(RouteCost, WithoutAPlaceARequestWaitsForOne) {
  RouteCandidate node = idle();
  node.n_sequences = 5;
  const RouteCost cost = route_cost(request(100), node, kTimes, 10);
  const double step = 8 + 4 * 0.25 + 0.25 + 0.01 * 100;
  EXPECT_DOUBLE_EQ(cost.queue, 2.0 / 4 * 10 * step);
  EXPECT_DOUBLE_EQ(cost.decode, 10 * step);
}

TEST(RouteCost, RunningSequencesLoseThePrefillAndTheSlowerSteps) {
  RouteCandidate node = idle();
  node.n_sequences = 3;
  const RouteCost cost = route_cost(request(100), node, kTimes, 10);
  EXPECT_DOUBLE_EQ(cost.streams, 3 * (cost.prefill + 10 * (0.25 + 0.01 * 100)));
}

TEST(RouteCost, EvictedBlocksCostWhatTheyAreReusedFor) {
  RouteCandidate node = idle();
  node.n_blocks_free = 3;
  node.reuse = 0.5;
  // 100 prompt and 28 output tokens are 8 blocks.
  EXPECT_DOUBLE_EQ(route_cost(request(100), node, kTimes, 28).eviction, 5 * 16 * 0.5 * 0.5);
}

TEST(RouteCost, ChoicesTakePlacesAndBlocks) {
  RouteRequest two = request(100);
  two.n_choices = 2;
  RouteCandidate node = idle();
  node.n_blocks_free = 0;
  node.reuse = 1;
  const RouteCost cost = route_cost(two, node, kTimes, 30);
  EXPECT_DOUBLE_EQ(cost.decode, 30 * (8 + 2 * (0.25 + 0.01 * 100)));
  EXPECT_DOUBLE_EQ(cost.eviction, 10 * 16 * 0.5);
}

}  // namespace
}  // namespace lockstep
