// Router: the node that gets the next request, by each policy but cost (router_cost_test.cpp).
#include "coordinator/route/router.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "tests/unit/coordinator/route/router_support.h"

namespace lockstep {
namespace {

using testing::candidate;
using testing::RouterTest;

TEST_F(RouterTest, WithoutCandidatesNoNodeIsPicked) {
  for (const char* name : {"cost", "least-load", "p2c", "round-robin", "session"}) {
    make(*routing_policy_from_string(name));
    EXPECT_FALSE(pick({}).has_value()) << name;
  }
}

TEST_F(RouterTest, TheOnlyCandidateIsPickedByEveryPolicy) {
  for (const char* name : {"cost", "least-load", "p2c", "round-robin", "session"}) {
    make(*routing_policy_from_string(name));
    EXPECT_EQ(pick({candidate(2, 100)}), NodeId{2}) << name;
    EXPECT_EQ(router_->reason(), RouteReason::kOnlyCandidate);
  }
}

TEST_F(RouterTest, RoundRobinTakesTurnsWhateverTheLoad) {
  make(RoutingPolicy::kRoundRobin);
  for (uint32_t expected : {0u, 1u, 2u, 0u, 1u})
    EXPECT_EQ(pick({candidate(0, 100), candidate(1), candidate(2)}), NodeId{expected});
  EXPECT_EQ(router_->reason(), RouteReason::kTurn);
}

TEST_F(RouterTest, RoundRobinGoesOnWhenANodeComesOrGoes) {
  make(RoutingPolicy::kRoundRobin);
  EXPECT_EQ(pick({candidate(0), candidate(1), candidate(2)}), NodeId{0});
  EXPECT_EQ(pick({candidate(0), candidate(2)}), NodeId{2});
  EXPECT_EQ(pick({candidate(1), candidate(2)}), NodeId{1});
}

TEST_F(RouterTest, LeastLoadComparesLoadToCapacity) {
  make(RoutingPolicy::kLeastLoad);
  EXPECT_EQ(pick({candidate(0, 3, 4), candidate(1, 5, 8)}), NodeId{1});
  EXPECT_EQ(router_->reason(), RouteReason::kLoad);
  EXPECT_EQ(pick({candidate(0, 1, 4), candidate(1, 3, 8)}), NodeId{0});
}

TEST_F(RouterTest, LeastLoadTakesTurnsAmongEquals) {
  make(RoutingPolicy::kLeastLoad);
  for (uint32_t expected : {0u, 1u, 0u})
    EXPECT_EQ(pick({candidate(0), candidate(1)}), NodeId{expected});
}

TEST_F(RouterTest, AnotherModelsRequestsDoNotMoveTheTurn) {
  for (RoutingPolicy policy : {RoutingPolicy::kRoundRobin, RoutingPolicy::kLeastLoad}) {
    make(policy);
    for (uint32_t expected : {0u, 1u, 0u, 1u}) {
      request_.key.model = "m";
      EXPECT_EQ(pick({candidate(0), candidate(1)}), NodeId{expected});
      request_.key.model = "other";
      EXPECT_EQ(pick({candidate(2)}), NodeId{2});
    }
  }
}

TEST_F(RouterTest, AnotherKindOfRequestDoesNotMoveTheTurn) {
  for (RoutingPolicy policy : {RoutingPolicy::kRoundRobin, RoutingPolicy::kLeastLoad}) {
    make(policy);
    for (uint32_t expected : {0u, 1u, 0u, 1u}) {
      for (RouteKind kind : {RouteKind::kTokenize, RouteKind::kGenerate, RouteKind::kDetokenize}) {
        request_.key.kind = kind;
        EXPECT_EQ(pick({candidate(0), candidate(1)}), NodeId{expected});
      }
    }
  }
}

TEST_F(RouterTest, RequestsWithoutACostTakeTurns) {
  for (RoutingPolicy policy : {RoutingPolicy::kCost, RoutingPolicy::kSession}) {
    make(policy);
    request_.key.kind = RouteKind::kTokenize;
    for (uint32_t expected : {0u, 1u, 0u})
      EXPECT_EQ(pick({candidate(0, 9), candidate(1)}), NodeId{expected});
  }
}

// Of two random nodes the busier one never wins, so the busiest of all wins nothing, and the idlest
// of n wins whenever it is drawn: 2/n of the time.
TEST_F(RouterTest, OfTwoRandomNodesTheLessLoadedIsPicked) {
  make(RoutingPolicy::kPowerOfTwo);
  std::map<uint32_t, int> n_picked;
  for (int i = 0; i < 3000; ++i)
    ++n_picked[raw(*pick({candidate(0, 3), candidate(1, 0), candidate(2, 1), candidate(3, 2)}))];
  EXPECT_EQ(n_picked.count(0), 0u);
  EXPECT_NEAR(n_picked[1], 1500, 150);
  EXPECT_NEAR(n_picked[2], 1000, 150);
  EXPECT_NEAR(n_picked[3], 500, 150);
  EXPECT_EQ(router_->reason(), RouteReason::kLoad);
}

TEST_F(RouterTest, ASessionStaysAtItsNodeWhateverTheLoad) {
  make(RoutingPolicy::kSession);
  std::set<uint32_t> used;
  for (uint64_t session = 1; session <= 50; ++session) {
    request_.affinity = session;
    const auto node = pick({candidate(0), candidate(1), candidate(2)});
    EXPECT_EQ(pick({candidate(0, 9), candidate(1, 9), candidate(2, 9)}), node);
    used.insert(raw(*node));
  }
  EXPECT_EQ(used.size(), 3u);
  EXPECT_EQ(router_->reason(), RouteReason::kSession);
}

TEST_F(RouterTest, ANodeThatLeavesMovesOnlyItsOwnSessions) {
  make(RoutingPolicy::kSession);
  for (uint64_t session = 1; session <= 50; ++session) {
    request_.affinity = session;
    const auto before = pick({candidate(0), candidate(1), candidate(2)});
    const auto after = pick({candidate(0), candidate(2)});
    if (before != NodeId{1}) {
      EXPECT_EQ(after, before);
    }
  }
}

// Two coordinators may list the nodes in different orders.
TEST_F(RouterTest, ASessionsNodeDependsOnEndpointsNotOnTheirOrder) {
  make(RoutingPolicy::kSession);
  for (uint64_t session = 1; session <= 20; ++session) {
    request_.affinity = session;
    RouteCandidate a = candidate(0), b = candidate(1);
    const auto first = pick({a, b});
    std::swap(a.endpoint, b.endpoint);
    EXPECT_NE(pick({a, b}), first);
  }
}

TEST(RoutingPolicyNames, AreThoseOfTheFlag) {
  for (const char* name : {"cost", "least-load", "p2c", "round-robin", "session"})
    EXPECT_EQ(to_string(*routing_policy_from_string(name)), name);
  const Error refused = routing_policy_from_string("random").error();
  EXPECT_EQ(refused.param, "policy");
  EXPECT_EQ(refused.message,
            "policy must be cost, least-load, p2c, round-robin or session, got 'random'");
}

}  // namespace
}  // namespace lockstep
