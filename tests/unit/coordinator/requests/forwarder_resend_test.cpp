// Forwarder: a request that its node refuses or loses before it had output is sent to another node.
#include "common/log.h"
#include "tests/unit/coordinator/forwarder_harness.h"

namespace lockstep::testing {
namespace {

class ForwarderResendTest : public ForwarderTest {
 protected:
  ForwarderResendTest() {
    for (uint32_t node : {0, 1, 2}) node_is_ready(node);
  }
  // Loses a node in the same way as ZmqFrontend.
  void lose(uint32_t node) {
    wire::Heartbeat foreign;
    foreign.epoch = 99;
    nodes_.on_heartbeat(NodeId{node}, foreign);
    forwarder_->on_node_lost(NodeId{node});
  }
};

TEST_F(ForwarderResendTest, WhatOneNodeRefusesTheNextOneGets) {
  forwarder_->submit(client(), generate());
  error(0, ErrorCode::kOverloaded);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  EXPECT_TRUE(replies_->got.empty());
  forwarder_->check_invariants();
  const auto sent = links_.all<wire::Generate>();
  EXPECT_EQ(sent[0].seed, sent[1].seed) << "the same tokens on every node";
  forwarder_->on_node_message(NodeId{1}, wire::Accepted{upstream(), 5, "", {}, 2});
  tokens({7}, 0, 1, 0, 1);
  forwarder_->on_node_message(NodeId{1}, wire::Done{upstream(), "stop", {2, 0, 1}});
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 1u);
  EXPECT_EQ(replies_->all<wire::Done>().size(), 1u);
  EXPECT_EQ(replies_->n_final_messages(), 1u);
  EXPECT_TRUE(page_has("requests_resent_total{reason=\"refused\"} 1"));
}

TEST_F(ForwarderResendTest, TheClientIsRefusedOnlyWhenEveryNodeRefused) {
  forwarder_->submit(client(), generate());
  error(0, ErrorCode::kOverloaded, "the queue holds 1");
  error(1, ErrorCode::kNoNodeReady);
  EXPECT_TRUE(replies_->got.empty());
  error(2, ErrorCode::kNoNodeReady);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1, 2})) << "each at most once";
  EXPECT_EQ(only_error().code, ErrorCode::kOverloaded) << "there is a queue to wait for";
  EXPECT_EQ(only_error().message, "the queue holds 1");
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderResendTest, NodesThatAllDrainAreNoNodeReady) {
  forwarder_->submit(client(), generate());
  for (uint32_t node : {0, 1, 2}) error(node, ErrorCode::kNoNodeReady);
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
}

TEST_F(ForwarderResendTest, TokenizingGoesElsewhereToo) {
  wire::Tokenize request;
  request.request_id = "t";
  request.model = "m";
  request.prompt = "Hi";
  forwarder_->submit(client(), request);
  const auto last_id = [&] { return links_.all<wire::Tokenize>().back().request_id; };
  forwarder_->on_node_message(NodeId{0},
                              wire::ErrorReply{last_id(), ErrorCode::kOverloaded, "no", ""});
  ASSERT_EQ(links_.all<wire::Tokenize>().size(), 2u);
  lose(1);
  ASSERT_EQ(links_.all<wire::Tokenize>().size(), 3u);
  EXPECT_EQ(links_.last_node(), NodeId{2});
  forwarder_->on_node_message(NodeId{2}, wire::Tokenized{last_id(), {1}, {}, 2048});
  EXPECT_EQ(replies_->n_final_messages(), 1u);
}

TEST_F(ForwarderResendTest, AMistakeOfTheRequestIsNotTriedAgain) {
  forwarder_->submit(client(), generate());
  error(0, ErrorCode::kInvalidRequest);
  EXPECT_EQ(only_error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(nodes_asked().size(), 1u);
}

TEST_F(ForwarderResendTest, AStreamThatItsNodeEndsWithAnErrorHasEnded) {
  forwarder_->submit(client(), generate("refused"));
  tokens({1}, 0);
  error(0, ErrorCode::kOverloaded, "the client did not read");
  EXPECT_EQ(only_error().code, ErrorCode::kOverloaded);
  replies_->got.clear();
  forwarder_->submit(client(), generate("failed"));
  tokens({1}, 0, 1, 0, 1);
  error(1, ErrorCode::kDecodeFailed, "NaN");
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
  EXPECT_EQ(nodes_asked().size(), 2u);
}

TEST_F(ForwarderResendTest, WhatALostNodeHadNotBegunRunsElsewhere) {
  forwarder_->submit(client(), generate("queued"));
  forwarder_->on_node_message(NodeId{0}, wire::Accepted{upstream(), 5, "", {}, 2});
  lose(0);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  forwarder_->on_node_message(NodeId{1}, wire::Accepted{upstream(), 5, "", {}, 2});
  EXPECT_EQ(replies_->all<wire::Accepted>().size(), 1u) << "the client knows already";
  tokens({9}, 0, 1, 0, 0);  // from the node that was declared dead
  EXPECT_TRUE(replies_->all<wire::Tokens>().empty());
  tokens({7}, 0, 1, 0, 1);
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 1u);
  EXPECT_TRUE(replies_->all<wire::ErrorReply>().empty());
  EXPECT_TRUE(page_has("requests_resent_total{reason=\"lost\"} 1"));
  EXPECT_TRUE(page_has("requests_lost_total 0")) << "nothing is lost";
}

TEST_F(ForwarderResendTest, ARestartedNodeIsAnotherNode) {
  forwarder_->submit(client(), generate());
  links_.cut_off[1] = links_.cut_off[2] = true;
  forwarder_->on_node_lost(NodeId{0});
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed)
      << "the same process does not get it again";
  EXPECT_EQ(nodes_asked(), std::vector<uint32_t>{0});
  forwarder_->submit(client(), generate());
  node_is_ready(0, 2);
  forwarder_->on_node_lost(NodeId{0});
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 0, 0}));
}

TEST_F(ForwarderResendTest, ARequestThatTookTwoNodesWithItGetsNoThird) {
  forwarder_->submit(client(), generate());
  lose(0);
  lose(1);
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
}

TEST_F(ForwarderResendTest, ACancelledRequestGoesNowhereElse) {
  forwarder_->submit(client(), generate());
  forwarder_->cancel("c", "r");
  error(0, ErrorCode::kOverloaded);
  EXPECT_EQ(nodes_asked().size(), 1u);
  EXPECT_EQ(replies_->n_final_messages(), 1u);
}

TEST_F(ForwarderResendTest, TheTimeThatPassedIsTakenOffItsDeadline) {
  auto request = generate();
  request.deadline_ms = 500;
  forwarder_->submit(client(), request);
  clock_.advance(milliseconds(200));
  error(0, ErrorCode::kOverloaded);
  clock_.advance(milliseconds(400));
  error(1, ErrorCode::kOverloaded);
  const auto sent = links_.all<wire::Generate>();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0].deadline_ms, 500);
  EXPECT_EQ(sent[1].deadline_ms, 300);
  EXPECT_EQ(sent[2].deadline_ms, 1) << "the least there is";
}

// A node that stops at once ends its requests as cancelled, although no client cancelled them.
TEST_F(ForwarderResendTest, WhatANodeCancelsByItselfIsNotTheClientsDoing) {
  wire::Tokens end;
  end.epoch = 1;
  end.finish_reason = "cancelled";
  forwarder_->submit(client(), generate("waiting"));
  end.request_id = upstream();
  forwarder_->on_node_message(NodeId{0}, end);
  forwarder_->on_node_message(NodeId{0}, wire::Done{upstream(), "cancelled", {}});
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1})) << "it had no output: another runs it";
  EXPECT_TRUE(replies_->got.empty());
  tokens({7}, 0, 1, 0, 1);
  end.request_id = upstream();
  end.attempt = 1;
  end.first_index = 1;
  forwarder_->on_node_message(NodeId{1}, end);
  forwarder_->on_node_message(NodeId{1}, wire::Done{upstream(), "cancelled", {}});
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1, 2})) << "it had output: it is resumed";
  EXPECT_EQ(links_.all<wire::Generate>().back().emitted,
            (std::vector<wire::EmittedChoice>{{{7}, {}, {}}}));
  EXPECT_EQ(replies_->n_final_messages(), 0u);
  for (const wire::Tokens& got : replies_->all<wire::Tokens>())
    EXPECT_FALSE(got.finish_reason.has_value());
}

TEST_F(ForwarderResendTest, AShutdownIsNotReportedAsTheClientsCancel) {
  forwarder_->submit(client(), generate());
  forwarder_->end_everything();
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 1u);
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

}  // namespace
}  // namespace lockstep::testing
