// Router, policy cost: the node where a request and its neighbours lose the least time.
#include <gtest/gtest.h>

#include <numeric>

#include "common/hash64.h"
#include "coordinator/route/route_cost.h"
#include "tests/unit/coordinator/route/router_support.h"

namespace lockstep {
namespace {

using testing::candidate;
using testing::kEndpoints;
using testing::RouterTest;

// A token of a prompt takes 1 ms, a step 10 ms and 1 ms for each sequence.
constexpr wire::StepTimes kTimes = {
    .base = 10, .prompt_token = 1, .prompt_context = 0, .sequence = 1, .context = 0};

RouteCandidate fitted(uint32_t node, int64_t n_sequences = 0) {
  RouteCandidate out = candidate(node, n_sequences);
  out.step_times = kTimes;
  return out;
}

class RouterCostTest : public RouterTest {
 protected:
  RouterCostTest() { make(RoutingPolicy::kCost); }
  // A prompt of so many blocks, different for each `salt`, of which one output is wanted.
  void ask(size_t n_blocks, uint64_t salt = 0) {
    hashes_.clear();
    for (size_t i = 0; i < n_blocks; ++i) hashes_.push_back(mix64(i + 1 + salt * 1'000'000));
    request_.block_hashes = hashes_;
    request_.has_tokens = true;
    request_.n_prompt_tokens = static_cast<int64_t>(n_blocks) * 16 + 1;
    request_.max_output_tokens = 1;
    request_.affinity = mix64(salt + 1);
  }

  std::vector<uint64_t> hashes_;
};

TEST_F(RouterCostTest, ARequestGoesWhereItsPrefixIs) {
  ask(32);
  prefixes_.cached = {0, 32, 0, 0};
  EXPECT_EQ(pick({fitted(0), fitted(1), fitted(2)}), NodeId{1});
  EXPECT_EQ(router_->reason(), RouteReason::kPrefix);
  EXPECT_EQ(candidates_[1].n_cached_tokens, 512);
}

TEST_F(RouterCostTest, TheLongerOfTwoPrefixesWins) {
  ask(32);
  prefixes_.cached = {16, 30, 0, 0};
  EXPECT_EQ(pick({fitted(0), fitted(1), fitted(2)}), NodeId{1});
}

TEST_F(RouterCostTest, TheLastTokenOfAPromptIsAlwaysComputed) {
  ask(4);
  request_.n_prompt_tokens = 64;  // all of it in full blocks
  prefixes_.cached = {4, 0, 0, 0};
  pick({fitted(0), fitted(1)});
  EXPECT_EQ(candidates_[0].n_cached_tokens, 63);
}

TEST_F(RouterCostTest, APrefixIsReplicatedWhereWaitingForItCostsMore) {
  ask(32);
  prefixes_.cached = {32, 0, 0, 0};
  router_->on_heartbeat(NodeId{0}, 900);  // as many tokens before it in the queue
  EXPECT_EQ(pick({fitted(0), fitted(1)}), NodeId{1});
  EXPECT_EQ(router_->reason(), RouteReason::kReplicate);
  EXPECT_EQ(candidates_[0].n_pending_tokens, 900);
  router_->on_heartbeat(NodeId{0}, 600);
  EXPECT_EQ(pick({fitted(0), fitted(1)}), NodeId{0});
}

TEST_F(RouterCostTest, WithoutAPrefixTheIdlerNodeWins) {
  ask(8);
  EXPECT_EQ(pick({fitted(0, 4), fitted(1, 1), fitted(2, 3)}), NodeId{1});
  EXPECT_EQ(router_->reason(), RouteReason::kCheapest);
}

TEST_F(RouterCostTest, ABurstIsSpreadBeforeTheNextHeartbeat) {
  std::vector<int> n(kEndpoints.size(), 0);
  for (uint64_t i = 0; i < 40; ++i) {
    ask(8, i);
    ++n[raw(*pick({fitted(0), fitted(1), fitted(2), fitted(3)}))];
    sent();
  }
  for (int per_node : n) EXPECT_EQ(per_node, 10);
}

// The second request waits for the blocks of the first no longer than it would compute them.
TEST_F(RouterCostTest, APromptFollowsOneThatIsBeingComputed) {
  ask(64);
  const auto first = pick({fitted(0), fitted(1), fitted(2)});
  sent();
  EXPECT_EQ(router_->reason(), RouteReason::kTie);
  ask(64);
  EXPECT_EQ(pick({fitted(0), fitted(1), fitted(2)}), first);
  EXPECT_EQ(candidates_[raw(*first)].n_cached_tokens, 1024);
  EXPECT_EQ(candidates_[raw(*first)].n_pending_tokens, 1025);
  ask(64);
  router_->on_heartbeat(*first, 700);  // of another prompt, in front of both
  EXPECT_NE(pick({fitted(0), fitted(1), fitted(2)}), first);
  EXPECT_EQ(router_->reason(), RouteReason::kReplicate);
}

TEST_F(RouterCostTest, AFullNodeCostsTheWaitForAPlace) {
  ask(8);
  prefixes_.cached = {8, 0, 0, 0};
  EXPECT_EQ(pick({fitted(0, 1), fitted(1, 1)}), NodeId{0});
  RouteCandidate full = fitted(0, 16);
  request_.max_output_tokens = 100;
  EXPECT_EQ(pick({full, fitted(1, 1)}), NodeId{1});
}

// Many requests may share a prefix that all nodes have.
TEST_F(RouterCostTest, OfEqualNodesWithThePrefixTheOneWithTheFewestRequestsLatelyWins) {
  std::vector<int> n(4, 0);
  prefixes_.cached = {8, 8, 8, 8};
  for (int i = 0; i < 40; ++i) {
    ask(8);
    ++n[raw(*pick({fitted(0), fitted(1), fitted(2), fitted(3)}))];
    sent();
    for (uint32_t node = 0; node < 4; ++node) {
      clock_.advance(std::chrono::milliseconds{20});
      router_->on_heartbeat(NodeId{node}, 0);
    }
  }
  for (int per_node : n) EXPECT_NEAR(per_node, 10, 2);
}

TEST_F(RouterCostTest, OfEqualNodesWithoutThePrefixThoseWithRoomRemain) {
  for (uint64_t i = 0; i < 20; ++i) {
    ask(8, i);
    RouteCandidate crowded = fitted(0), roomy = fitted(1);
    crowded.n_blocks_free = 10;
    roomy.n_blocks_free = 100;
    EXPECT_EQ(pick({crowded, roomy}), NodeId{1});
  }
}

TEST_F(RouterCostTest, EvictingWhatIsReusedHasAPrice) {
  ask(8);
  RouteCandidate crowded = fitted(0), roomy = fitted(1);
  crowded.n_blocks_free = 0;
  crowded.reuse = 0.9;
  request_.affinity = 0;
  for (uint64_t affinity = 0; affinity < 20; ++affinity) {
    request_.affinity = affinity;
    EXPECT_EQ(pick({crowded, roomy}), NodeId{1});
  }
}

TEST_F(RouterCostTest, ACachedPrefixDrawsNoMoreThanItsShareOfTheLoad) {
  ask(8);
  prefixes_.cached = {8, 0, 0, 0};
  EXPECT_EQ(pick({fitted(0, 1), fitted(1), fitted(2)}), NodeId{0}) << "an eighth of 16 is free";
  EXPECT_EQ(pick({fitted(0, 4), fitted(1, 4), fitted(2, 4)}), NodeId{0});
  EXPECT_NE(pick({fitted(0, 5), fitted(1, 4), fitted(2, 4)}), NodeId{0}) << "6 > 14 / 3 + 1";
  EXPECT_EQ(router_->reason(), RouteReason::kReplicate);
  EXPECT_EQ(pick({fitted(0, 15), fitted(1, 15), fitted(2, 15)}), NodeId{0});
  ask(500);  // however much the others have to compute
  prefixes_.cached = {500, 0, 0, 0};
  EXPECT_NE(pick({fitted(0, 6), fitted(1, 4), fitted(2, 4)}), NodeId{0});
}

TEST_F(RouterCostTest, SomeNodeAlwaysTakesTheRequest) {
  ask(8);
  request_.n_choices = 100;
  EXPECT_TRUE(pick({fitted(0, 16), fitted(1, 16)}).has_value());
  EXPECT_EQ(pick({fitted(0, 16), fitted(1, 3)}), NodeId{1});
}

TEST_F(RouterCostTest, NearlyEqualCostsAreDecidedByTheAffinity) {
  std::vector<int> n(3, 0);
  for (uint64_t i = 0; i < 300; ++i) {
    ask(8, i);
    const auto node = pick({fitted(0), fitted(1), fitted(2)});
    EXPECT_EQ(router_->reason(), RouteReason::kTie);
    make(RoutingPolicy::kCost);  // as another coordinator
    ask(8, i);
    EXPECT_EQ(pick({fitted(0), fitted(1), fitted(2)}), node);
    ++n[raw(*node)];
  }
  for (int per_node : n) EXPECT_NEAR(per_node, 100, 40);
}

TEST_F(RouterCostTest, AFasterNodeIsPreferred) {
  ask(8);
  RouteCandidate fast = fitted(1);
  fast.step_times->prompt_token = 0.1;
  EXPECT_EQ(pick({fitted(0), fast, fitted(2)}), NodeId{1});
}

TEST_F(RouterCostTest, ANodeWithoutStepTimesIsTakenToBeAsFastAsAnother) {
  int n_fresh = 0;
  for (uint64_t i = 0; i < 60; ++i) {
    ask(8, i);
    n_fresh += pick({fitted(0), candidate(1)}) == NodeId{1} ? 1 : 0;
    EXPECT_EQ(router_->reason(), RouteReason::kTie);
  }
  EXPECT_NEAR(n_fresh, 30, 20);
  EXPECT_FALSE(sent().candidates[1].has_step_times);
  EXPECT_TRUE(sent().candidates[0].has_step_times);
}

// Then the prefix is not computed at one more node for nothing.
TEST_F(RouterCostTest, OfNearlyEqualNodesThoseWithTheMostCachedRemain) {
  for (uint64_t i = 0; i < 20; ++i) {
    ask(8, i);
    prefixes_.cached = {0, 8, 4, 0};
    router_->on_heartbeat(NodeId{1}, 193);  // in front of one token: 1 ms more than node 0
    router_->on_heartbeat(NodeId{2}, 97);
    EXPECT_EQ(pick({fitted(0), fitted(1), fitted(2)}), NodeId{1});
    EXPECT_EQ(router_->reason(), RouteReason::kPrefix);
  }
}

TEST_F(RouterCostTest, OutputIsExpectedToBeAsLongAsTheLatest) {
  request_.max_output_tokens.reset();
  for (int i = 0; i < 500; ++i) router_->on_outputs(40);
  EXPECT_NEAR(router_->expected_outputs(request_), 40, 0.1);
  request_.max_output_tokens = 8;
  EXPECT_EQ(router_->expected_outputs(request_), 8);
}

TEST_F(RouterCostTest, ALostNodeKeepsNoLoadAndNoPrefix) {
  ask(64);
  const auto first = pick({fitted(0), fitted(1)});
  sent();
  router_->on_node_lost(*first);
  ask(64);
  pick({fitted(0), fitted(1)});
  EXPECT_EQ(candidates_[raw(*first)].n_pending_tokens, 0);
  EXPECT_EQ(candidates_[raw(*first)].n_cached_tokens, 0);
}

TEST_F(RouterCostTest, APromptIsRememberedOfANodeThatPublishesNoEvents) {
  prefixes_.unknown = 1;
  ask(64);
  pick({fitted(1)});
  sent();
  clock_.advance(std::chrono::seconds{50});
  router_->on_heartbeat(NodeId{1}, 0);
  EXPECT_EQ(pick({fitted(0), fitted(1)}), NodeId{1});
  EXPECT_EQ(router_->reason(), RouteReason::kPrefix);
  EXPECT_EQ(candidates_[1].n_cached_tokens, 1024);
  EXPECT_EQ(candidates_[0].n_cached_tokens, 0);
  clock_.advance(std::chrono::seconds{80});
  pick({fitted(0), fitted(1)});
  EXPECT_EQ(candidates_[1].n_cached_tokens, 0);
}

// Whenever they come: before the prompt or behind it.
TEST_F(RouterCostTest, EventsCountForMoreThanWhatIsRemembered) {
  for (const uint32_t unknown_at_first : {4u, 1u}) {
    make(RoutingPolicy::kCost);
    prefixes_.unknown = unknown_at_first;
    prefixes_.cached = {0, 0, 0, 0};
    ask(64);
    pick({fitted(1)});
    sent();
    prefixes_.unknown = 4;
    prefixes_.cached = {0, 8, 0, 0};
    clock_.advance(std::chrono::seconds{5});
    pick({fitted(0), fitted(1)});
    EXPECT_EQ(candidates_[1].n_cached_tokens, 128) << unknown_at_first;
  }
}

TEST_F(RouterCostTest, APromptOfBeforeTheEventsEndedIsNotRemembered) {
  prefixes_.unknown = 4;
  ask(64);
  pick({fitted(1)});
  sent();
  prefixes_.unknown = 1;
  clock_.advance(std::chrono::seconds{5});
  pick({fitted(0), fitted(1)});
  EXPECT_EQ(candidates_[1].n_cached_tokens, 0);
}

TEST_F(RouterCostTest, OfALostNodeNothingIsRemembered) {
  prefixes_.unknown = 1;
  ask(64);
  pick({fitted(1)});
  sent();
  router_->on_node_lost(NodeId{1});
  pick({fitted(0), fitted(1)});
  EXPECT_EQ(candidates_[1].n_cached_tokens, 0);
}

TEST_F(RouterCostTest, TheDecisionIsLoggedWithEveryCandidatesTerms) {
  ask(32);
  prefixes_.cached = {0, 32, 0, 0};
  pick({fitted(0, 3), fitted(1, 2)});
  sent("req-1");
  const auto found = log_.find("req-1");
  ASSERT_EQ(found.size(), 1u);
  const RouteDecision& decision = found[0];
  EXPECT_EQ(decision.chosen, 1u);
  EXPECT_EQ(decision.reason, RouteReason::kPrefix);
  EXPECT_EQ(decision.n_prompt_tokens, 513);
  ASSERT_EQ(decision.candidates.size(), 2u);
  EXPECT_EQ(decision.candidates[0].endpoint, kEndpoints[0]);
  EXPECT_EQ(decision.candidates[1].n_cached_tokens, 512);
  EXPECT_DOUBLE_EQ(decision.candidates[0].cost.prefill, 10 + 513);
  EXPECT_DOUBLE_EQ(decision.candidates[1].cost.prefill, 10 + 1);
  EXPECT_DOUBLE_EQ(decision.candidates[0].cost.decode, 10 + 3 + 1);
  EXPECT_DOUBLE_EQ(decision.candidates[0].cost.streams, 3 * (523 + 1));
  EXPECT_DOUBLE_EQ(decision.candidates[0].cost.work, 513 / 2.0);
}

}  // namespace
}  // namespace lockstep
