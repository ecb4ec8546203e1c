// Forwarder: the node that a request is sent to, by model, state, load and link.
#include "common/log.h"
#include "tests/unit/coordinator/forwarder_harness.h"

namespace lockstep::testing {
namespace {

TEST_F(ForwarderTest, OnlyNodesWithTheModelGetIt) {
  node_is_ready(0, 1, "other");
  node_is_ready(1, 1, "m");
  for (int i = 0; i < 3; ++i) {
    forwarder_->submit(client(), generate(std::to_string(i)));
    EXPECT_EQ(links_.last_node(), NodeId{1});
  }
}

TEST_F(ForwarderTest, TokenizeGoesToANodeWithTheModelOrTheOnlyOne) {
  node_is_ready(0);
  wire::Tokenize request;
  request.request_id = "t";
  request.prompt = "Hi";
  forwarder_->submit(client(), request);
  const auto sent = links_.all<wire::Tokenize>();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].model, "m");
  forwarder_->on_node_message(NodeId{0}, wire::Tokenized{sent[0].request_id, {1, 2}, {}, 2048});
  ASSERT_EQ(replies_->all<wire::Tokenized>().size(), 1u);
  EXPECT_EQ(replies_->all<wire::Tokenized>()[0].request_id, "t");
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderTest, ASuspectNodeGetsWorkOnlyIfNoOtherNodeCan) {
  node_is_ready(0);
  watch_nodes(milliseconds(1000));
  node_is_ready(1);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  EXPECT_EQ(links_.sent.size(), 2u);
  for (const auto& [node, message] : links_.sent) EXPECT_EQ(node, NodeId{1});
  watch_nodes(milliseconds(900));
  forwarder_->submit(client(), generate("c"));
  EXPECT_EQ(links_.all<wire::Generate>().size(), 3u);
}

TEST_F(ForwarderTest, LeastLoadCountsWhatItSentSinceTheHeartbeat) {
  make({}, RoutingPolicy::kLeastLoad);
  node_is_ready(0);
  node_is_ready(1);
  wire::Heartbeat busy;
  busy.epoch = 1;
  busy.n_running = 3;  // sequences of another coordinator
  nodes_.on_heartbeat(NodeId{0}, busy);
  forwarder_->on_heartbeat(NodeId{0});
  for (int i = 0; i < 3; ++i) {
    forwarder_->submit(client(), generate(std::to_string(i)));
    EXPECT_EQ(links_.last_node(), NodeId{1});
  }
  forwarder_->submit(client(), generate("big", 2));  // 3 : 3, in turn
  EXPECT_EQ(links_.last_node(), NodeId{0});
  forwarder_->submit(client(), generate("next"));
  EXPECT_EQ(links_.last_node(), NodeId{1});
}

TEST_F(ForwarderTest, OurOwnSequencesInAHeartbeatAreNotCountedTwice) {
  make({}, RoutingPolicy::kLeastLoad);
  node_is_ready(0);
  node_is_ready(1);
  forwarder_->submit(client(), generate("a", 2));  // node 0
  wire::Heartbeat load;
  load.epoch = 1;
  load.n_running = 2;
  nodes_.on_heartbeat(NodeId{0}, load);
  forwarder_->on_heartbeat(NodeId{0});
  forwarder_->submit(client(), generate("b", 3));  // node 1
  forwarder_->submit(client(), generate("c"));     // 2 against 3
  EXPECT_EQ(links_.last_node(), NodeId{0});
}

TEST_F(ForwarderTest, ALinkThatTakesNothingRefusesAtOnce) {
  node_is_ready(0);
  links_.cut_off[0] = true;
  forwarder_->submit(client(), generate());
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderTest, ANodeWhoseLinkTakesNothingIsPassedOver) {
  node_is_ready(0);
  watch_nodes(milliseconds(1000));  // a suspect node is better than none
  node_is_ready(1);
  links_.cut_off[1] = true;
  for (size_t i = 0; i < 2; ++i) {
    forwarder_->submit(client(), generate(str("r", i)));
    ASSERT_EQ(links_.all<wire::Generate>().size(), i + 1);
    EXPECT_EQ(links_.last_node(), NodeId{0});
  }
  EXPECT_TRUE(replies_->got.empty());
  forwarder_->check_invariants();
  tokens({1}, 0);
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 1u);
}

}  // namespace
}  // namespace lockstep::testing
