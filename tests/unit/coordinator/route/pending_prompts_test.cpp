// PendingPrompts: what each node has still to compute of the prompts it was sent.
#include "coordinator/route/pending_prompts.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

constexpr NodeId kNode{0};

class PendingPromptsTest : public ::testing::Test {
 protected:
  // A token takes the node half a millisecond.
  int64_t estimate() const { return pending_.estimate(kNode, 0.5, clock_.now()); }
  void sent(int64_t n) { pending_.on_sent(kNode, n, clock_.now()); }
  void reported(int64_t n) { pending_.on_heartbeat(kNode, n, clock_.now()); }

  testing::FakeClock clock_;
  PendingPrompts pending_{2};
};

TEST_F(PendingPromptsTest, WhatWasSentCountsUntilAHeartbeatCountsIt) {
  sent(100);
  sent(20);
  EXPECT_EQ(estimate(), 120);
  EXPECT_EQ(pending_.estimate(NodeId{1}, 0.5, clock_.now()), 0);
  clock_.advance(milliseconds{100});
  reported(90);
  EXPECT_EQ(estimate(), 90);
}

TEST_F(PendingPromptsTest, AHeartbeatThatCrossedARequestDoesNotCountIt) {
  reported(0);
  clock_.advance(milliseconds{100});
  sent(64);
  clock_.advance(milliseconds{1});
  reported(0);
  EXPECT_EQ(estimate(), 64);
  clock_.advance(milliseconds{250});
  reported(0);
  EXPECT_EQ(estimate(), 0);
}

TEST_F(PendingPromptsTest, TheNodeComputesBetweenTwoHeartbeats) {
  reported(1000);
  clock_.advance(milliseconds{100});
  EXPECT_EQ(estimate(), 800);
  sent(50);
  EXPECT_EQ(estimate(), 850);
  clock_.advance(milliseconds{10'000});
  EXPECT_EQ(estimate(), 50) << "no more than was reported";
}

TEST_F(PendingPromptsTest, ALostNodeHasNothingPending) {
  reported(1000);
  sent(10);
  pending_.on_node_lost(kNode);
  EXPECT_EQ(estimate(), 0);
}

TEST_F(PendingPromptsTest, ANodeWithoutATimeForATokenComputesNothing) {
  reported(1000);
  clock_.advance(milliseconds{100});
  EXPECT_EQ(pending_.estimate(kNode, 0, clock_.now()), 1000);
}

}  // namespace
}  // namespace lockstep
