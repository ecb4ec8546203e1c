// Router: the node that gets the next request.
#include "coordinator/route/router.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

const RouteKey kKey{"m", RouteKind::kGenerate};

RouteCandidate candidate(uint32_t node, int64_t n_sequences = 0, int64_t capacity = 4) {
  return {NodeId{node}, n_sequences, capacity};
}

TEST(Router, WithoutCandidatesNoNodeIsPicked) {
  EXPECT_FALSE(Router(RoutingPolicy::kRoundRobin).pick(kKey, {}).has_value());
  EXPECT_FALSE(Router(RoutingPolicy::kLeastLoad).pick(kKey, {}).has_value());
}

TEST(Router, RoundRobinTakesTurnsWhateverTheLoad) {
  Router router(RoutingPolicy::kRoundRobin);
  const std::vector<RouteCandidate> nodes = {candidate(0, 100), candidate(1), candidate(2)};
  for (uint32_t expected : {0u, 1u, 2u, 0u, 1u})
    EXPECT_EQ(router.pick(kKey, nodes), NodeId{expected});
}

TEST(Router, RoundRobinGoesOnWhenANodeComesOrGoes) {
  Router router(RoutingPolicy::kRoundRobin);
  EXPECT_EQ(router.pick(kKey, {candidate(0), candidate(1), candidate(2)}), NodeId{0});
  EXPECT_EQ(router.pick(kKey, {candidate(0), candidate(2)}), NodeId{2});
  EXPECT_EQ(router.pick(kKey, {candidate(1), candidate(2)}), NodeId{1});
}

TEST(Router, LeastLoadComparesLoadToCapacity) {
  Router router(RoutingPolicy::kLeastLoad);
  EXPECT_EQ(router.pick(kKey, {candidate(0, 3, 4), candidate(1, 5, 8)}), NodeId{1});
  EXPECT_EQ(router.pick(kKey, {candidate(0, 1, 4), candidate(1, 3, 8)}), NodeId{0});
}

TEST(Router, LeastLoadTakesTurnsAmongEquals) {
  Router router(RoutingPolicy::kLeastLoad);
  const std::vector<RouteCandidate> nodes = {candidate(0), candidate(1)};
  EXPECT_EQ(router.pick(kKey, nodes), NodeId{0});
  EXPECT_EQ(router.pick(kKey, nodes), NodeId{1});
  EXPECT_EQ(router.pick(kKey, nodes), NodeId{0});
}

TEST(Router, AnotherModelsRequestsDoNotMoveTheTurn) {
  const RouteKey other{"other", RouteKind::kGenerate};
  for (RoutingPolicy policy : {RoutingPolicy::kRoundRobin, RoutingPolicy::kLeastLoad}) {
    Router router(policy);
    for (uint32_t expected : {0u, 1u, 0u, 1u}) {
      EXPECT_EQ(router.pick(kKey, {candidate(0), candidate(1)}), NodeId{expected});
      EXPECT_EQ(router.pick(other, {candidate(2)}), NodeId{2});
    }
  }
}

TEST(Router, AnotherKindOfRequestDoesNotMoveTheTurn) {
  const RouteKey tokenize{"m", RouteKind::kTokenize}, detokenize{"m", RouteKind::kDetokenize};
  for (RoutingPolicy policy : {RoutingPolicy::kRoundRobin, RoutingPolicy::kLeastLoad}) {
    Router router(policy);
    for (uint32_t expected : {0u, 1u, 0u, 1u}) {
      for (const RouteKey& key : {tokenize, kKey, detokenize})
        EXPECT_EQ(router.pick(key, {candidate(0), candidate(1)}), NodeId{expected});
    }
  }
}

TEST(Router, PoliciesHaveNames) {
  EXPECT_EQ(*routing_policy_from_string("round-robin"), RoutingPolicy::kRoundRobin);
  EXPECT_EQ(*routing_policy_from_string("least-load"), RoutingPolicy::kLeastLoad);
  EXPECT_EQ(routing_policy_from_string("random").error().param, "policy");
}

}  // namespace
}  // namespace lockstep
