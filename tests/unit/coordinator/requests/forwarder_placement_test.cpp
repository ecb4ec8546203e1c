// Forwarder: the nodes that may run a request have one fingerprint, enough context and no stall.
#include <limits>
#include <map>

#include "common/log.h"
#include "coordinator/cluster/cluster_view.h"
#include "tests/unit/coordinator/forwarder_harness.h"

namespace lockstep::testing {
namespace {

class ForwarderPlacementTest : public ForwarderTest {
 protected:
  // Submits this many requests and returns the nodes that got them.
  std::vector<uint32_t> ask(size_t n) {
    const size_t before = nodes_asked().size();
    for (size_t i = 0; i < n; ++i) forwarder_->submit(client(), generate(str("q", n_submitted_++)));
    const auto asked = nodes_asked();
    return {asked.begin() + static_cast<ptrdiff_t>(before), asked.end()};
  }
  wire::Generate generate_of(std::vector<int32_t> ids, int64_t max_tokens) {
    wire::Generate out = generate(str("q", n_submitted_++));
    out.prompt_text.reset();
    out.prompt_ids = std::move(ids);
    out.max_tokens = max_tokens;
    return out;
  }
  void stall(uint32_t node) {
    wire::Heartbeat still;
    still.epoch = 1;
    still.n_running = 1;
    still.progress = 5;
    for (int i = 0; i < 20; ++i) nodes_.on_heartbeat(NodeId{node}, still);
    ASSERT_STREQ(state_name(nodes_.node(NodeId{node})), "stalled");
  }
  uint64_t listed_max_model_len() const {
    const ClusterView view{.nodes = nodes_.nodes(), .groups = nodes_.shared_groups()};
    return view.models().at(0).max_model_len;
  }

  size_t n_submitted_ = 0;
};

TEST_F(ForwarderPlacementTest, TheFingerprintWithTheMostReadyNodesGetsTheRequests) {
  node_is_ready(0, 1, "m", "old");
  node_is_ready(1, 1, "m", "new");
  node_is_ready(2, 1, "m", "new");
  EXPECT_EQ(ask(4), (std::vector<uint32_t>{1, 2, 1, 2}));
}

TEST_F(ForwarderPlacementTest, AmongEqualsTheOneThatCameFirst) {
  node_is_ready(1, 1, "m", "first");
  node_is_ready(0, 1, "m", "second");
  EXPECT_EQ(ask(3), (std::vector<uint32_t>{1, 1, 1}));
}

// A rolling change from one fingerprint to another, node by node.
TEST_F(ForwarderPlacementTest, ARollingChangeMovesTheRequestsOnce) {
  for (uint32_t node : {0, 1, 2}) node_is_ready(node, 1, "m", "old");
  node_is_ready(0, 2, "m", "new");
  for (uint32_t node : ask(4)) EXPECT_NE(node, 0u);
  node_is_ready(1, 2, "m", "new");
  for (uint32_t node : ask(4)) EXPECT_NE(node, 2u);
}

TEST_F(ForwarderPlacementTest, DrainingAndStalledNodesDoNotCount) {
  node_is_ready(0, 1, "m", "a");
  node_is_ready(1, 1, "m", "a");
  node_is_ready(2, 1, "m", "b");
  wire::Heartbeat draining;
  draining.epoch = 1;
  draining.draining = true;
  nodes_.on_heartbeat(NodeId{0}, draining);
  EXPECT_EQ(ask(1), std::vector<uint32_t>{1}) << "1 : 1, and a came first";
  stall(1);
  EXPECT_EQ(ask(2), (std::vector<uint32_t>{2, 2}));
}

TEST_F(ForwarderPlacementTest, ARequestNeverChangesItsFingerprint) {
  node_is_ready(0, 1, "m", "a");
  node_is_ready(1, 1, "m", "a");
  node_is_ready(2, 1, "m", "b");
  ask(1);
  error(0, ErrorCode::kOverloaded);
  error(1, ErrorCode::kOverloaded);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(only_error().code, ErrorCode::kOverloaded);
  replies_->got.clear();
  ask(1);
  node_is_ready(1, 2, "m", "b");  // now b has the most nodes
  forwarder_->on_node_lost(NodeId{0});
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
}

TEST_F(ForwarderPlacementTest, ANodeWhoseContextIsTooShortIsPassedOver) {
  node_is_ready(0, 1, "m", "f", 100);
  node_is_ready(1, 1, "m", "f", 1000);
  for (int i = 0; i < 3; ++i) {
    forwarder_->submit(client(), generate_of({1, 2}, 200));
    EXPECT_EQ(links_.last_node(), NodeId{1});
  }
  forwarder_->submit(client(), generate_of(std::vector<int32_t>(100, 1), 1));
  EXPECT_EQ(links_.last_node(), NodeId{1});
  auto text = generate("text");
  text.prompt_text = std::string(256 * 100, 'x');
  forwarder_->submit(client(), text);
  EXPECT_EQ(links_.last_node(), NodeId{1}) << "as few tokens as that cannot spell it";
  forwarder_->submit(client(), generate_of({1, 2}, 98));
  EXPECT_EQ(links_.last_node(), NodeId{0}) << "exactly fits";
}

TEST_F(ForwarderPlacementTest, WhatFitsNowhereIsRefusedByANodeWithItsNumbers) {
  node_is_ready(0, 1, "m", "f", 100);
  node_is_ready(1, 1, "m", "f", 100);
  forwarder_->submit(client(), generate_of({1}, int64_t{1} << 62));
  ASSERT_EQ(nodes_asked(), std::vector<uint32_t>{0});
  error(0, ErrorCode::kContextLengthExceeded, "max_model_len is 100");
  EXPECT_EQ(nodes_asked().size(), 1u) << "the other is no longer";
  EXPECT_EQ(only_error().code, ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(only_error().message, "max_model_len is 100");
}

// The text has more tokens than the lower bound that was known before tokenising.
TEST_F(ForwarderPlacementTest, WhatOneNodeFindsTooLongALongerOneGets) {
  node_is_ready(0, 1, "m", "f", 100);
  node_is_ready(1, 1, "m", "f", 100);
  node_is_ready(2, 1, "m", "f", 1000);
  forwarder_->submit(client(), generate());
  error(0, ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 2}));
  error(2, ErrorCode::kContextLengthExceeded, "max_model_len is 1000");
  EXPECT_EQ(only_error().message, "max_model_len is 1000");
}

TEST_F(ForwarderPlacementTest, TheLimitsOfTheServingFingerprintAreListed) {
  node_is_ready(0, 1, "m", "other", 50);
  node_is_ready(1, 1, "m", "serving", 100);
  node_is_ready(2, 1, "m", "serving", 1000);
  EXPECT_EQ(listed_max_model_len(), 1000u) << "shorter ones are passed over";
  node_is_ready(1, 2, "m", "other", 60);
  EXPECT_EQ(listed_max_model_len(), 60u);
}

TEST_F(ForwarderPlacementTest, AStalledNodeGetsWorkOnlyIfNoOtherNodeCan) {
  node_is_ready(0);
  node_is_ready(1);
  forwarder_->submit(client(), generate("running"));
  stall(0);
  EXPECT_EQ(ask(3), (std::vector<uint32_t>{1, 1, 1}));
  forwarder_->on_node_message(
      NodeId{0}, wire::Done{links_.all<wire::Generate>()[0].request_id, "stop", {2, 0, 0}});
  EXPECT_EQ(replies_->all<wire::Done>().size(), 1u) << "its streams go on";
  stall(1);
  EXPECT_EQ(ask(2).size(), 2u) << "late is better than refused";
}

// The policy of real clusters: what is charged at dispatch counts before any heartbeat.
TEST_F(ForwarderPlacementTest, ByCostABurstIsSpreadOverTheNodes) {
  make({}, RoutingPolicy::kCost);
  for (uint32_t node : {0, 1, 2}) node_is_ready(node);
  std::map<uint32_t, int> n;
  for (int i = 0; i < 9; ++i) {
    forwarder_->submit(client(), generate_of(std::vector<int32_t>(200, i), 5));
    ++n[nodes_asked().back()];
  }
  EXPECT_EQ(n, (std::map<uint32_t, int>{{0, 3}, {1, 3}, {2, 3}}));
}

TEST_F(ForwarderPlacementTest, ByCostAPromptFollowsOneThatBeganAlike) {
  make({}, RoutingPolicy::kCost);
  for (uint32_t node : {0, 1, 2}) node_is_ready(node);
  std::vector<int32_t> prompt(320, 7);
  forwarder_->submit(client(), generate_of(prompt, 1));
  const uint32_t first = nodes_asked().back();
  clock_.advance(milliseconds{50});
  for (uint32_t node : {0, 1, 2}) {
    wire::Heartbeat load;
    load.epoch = 1;
    load.n_blocks_free = 100;
    nodes_.on_heartbeat(NodeId{node}, load);
    forwarder_->on_heartbeat(NodeId{node});
  }
  tokens({1}, 0, 1, 0, first);
  prompt.insert(prompt.end(), 32, 8);
  forwarder_->submit(client(), generate_of(prompt, 1));
  EXPECT_EQ(nodes_asked().back(), first);
}

// What has been generated is computed again at the next node, too.
TEST_F(ForwarderPlacementTest, EveryAttemptIsLoggedWithItsTokens) {
  make({}, RoutingPolicy::kCost);
  for (uint32_t node : {0, 1}) node_is_ready(node);
  forwarder_->submit(client(), generate_of(std::vector<int32_t>(64, 1), 50));
  const uint32_t first = nodes_asked().back();
  forwarder_->on_node_message(NodeId{first}, wire::Accepted{upstream(), 7, "", {}, 64});
  tokens({1, 2, 3, 4, 5}, 0, 1, 0, first);
  nodes_.on_disconnected(NodeId{first});
  forwarder_->on_node_lost(NodeId{first});
  const auto routes = routes_.find("q0");
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(routes[0].n_prompt_tokens, 64);
  EXPECT_EQ(routes[0].prompt, "");
  EXPECT_EQ(routes[1].attempt, 1u);
  EXPECT_EQ(routes[1].n_prompt_tokens, 69);
  EXPECT_EQ(routes[1].reason, RouteReason::kOnlyCandidate);
}

TEST_F(ForwarderPlacementTest, OutputIsExpectedToBeAsLongAsThatOfFinishedRequests) {
  make({}, RoutingPolicy::kCost);
  node_is_ready(0);
  const auto expected = [&] {
    forwarder_->submit(client(), generate_of({1, 2, 3}, 1000));
    forwarder_->cancel("c", str("q", n_submitted_ - 1));
    return routes_.find(str("q", n_submitted_ - 1)).at(0).n_outputs;
  };
  const double before = expected();
  for (int i = 0; i < 20; ++i) {
    forwarder_->submit(client(), generate_of({1, 2, 3}, 1000));
    forwarder_->on_node_message(NodeId{0}, wire::Accepted{upstream(), 7, "", {}, 3});
    wire::Tokens message;
    message.request_id = upstream();
    message.epoch = 1;
    message.ids = {9};
    message.finish_reason = "stop";
    forwarder_->on_node_message(NodeId{0}, message);
    done();
  }
  EXPECT_LT(expected(), before * 0.7);
}

// Of a node that is lost, nothing is cached any more.
TEST_F(ForwarderPlacementTest, ByCostALostNodeHasNoPrefix) {
  make({}, RoutingPolicy::kCost);
  for (uint32_t node : {0, 1, 2}) node_is_ready(node);
  const std::vector<int32_t> prompt(320, 7);
  forwarder_->submit(client(), generate_of(prompt, 1));
  const uint32_t first = nodes_asked().back();
  nodes_.on_disconnected(NodeId{first});
  forwarder_->on_node_lost(NodeId{first});
  node_is_ready(first, 2);
  forwarder_->submit(client(), generate_of(prompt, 1));
  const RouteDecision again = routes_.find("q1").at(0);
  for (const auto& candidate : again.candidates) {
    if (candidate.endpoint == nodes_.node(NodeId{first}).endpoint) {
      EXPECT_EQ(candidate.n_cached_tokens, 0);
    }
  }
}

TEST_F(ForwarderPlacementTest, StepTimesThatAreNoTimesAreIgnored) {
  make({}, RoutingPolicy::kCost);
  for (uint32_t node : {0, 1}) node_is_ready(node);
  wire::Heartbeat load;
  load.epoch = 1;
  load.step_times = wire::StepTimes{.prompt_token = -5};
  nodes_.on_heartbeat(NodeId{0}, load);
  load.step_times = wire::StepTimes{.base = std::numeric_limits<double>::quiet_NaN()};
  nodes_.on_heartbeat(NodeId{1}, load);
  wire::Generate asked = generate_of(std::vector<int32_t>(64, 1), 5);
  asked.return_route_receipt = true;
  forwarder_->submit(client(), std::move(asked));
  forwarder_->on_node_message(NodeId{nodes_asked().back()},
                              wire::Accepted{upstream(), 7, "", {}, 64});
  const std::string receipt = replies_->all<wire::Accepted>().back().route_receipt;
  EXPECT_NE(receipt.find("assumed"), receipt.npos) << receipt;
  EXPECT_EQ(receipt.find("fitted"), receipt.npos);
  EXPECT_EQ(receipt.find("null"), receipt.npos);
}

}  // namespace
}  // namespace lockstep::testing
