// Forwarder: a node's replies, each under its client's request id, tokens in order and without
// gaps.
#include "tests/unit/coordinator/forwarder_harness.h"

namespace lockstep::testing {
namespace {

TEST_F(ForwarderTest, ARequestGoesThereAndBackUnderItsOwnId) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  EXPECT_NE(upstream(), "r") << "two clients may use one id";
  forwarder_->on_node_message(NodeId{0}, wire::Accepted{upstream(), 5, "", {}, 2});
  tokens({7}, 0);
  tokens({8, 9}, 1);
  done();
  ASSERT_EQ(replies_->got.size(), 4u);
  EXPECT_EQ(replies_->all<wire::Accepted>()[0].request_id, "r");
  EXPECT_EQ(replies_->all<wire::Tokens>()[1].ids, (std::vector<int32_t>{8, 9}));
  EXPECT_EQ(replies_->all<wire::Done>()[0].request_id, "r");
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderTest, ChoicesHaveTheirOwnIndex) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("r", 2));
  wire::TokensBatch batch;
  for (uint32_t choice : {0u, 1u}) {
    wire::Tokens item;
    item.request_id = upstream();
    item.choice = choice;
    item.ids = {1};
    item.epoch = 1;
    batch.items.push_back(item);
  }
  forwarder_->on_node_message(NodeId{0}, batch);
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 2u);
}

TEST_F(ForwarderTest, DuplicatesAndZombiesAreDropped) {
  node_is_ready(0, 5);
  forwarder_->submit(client(), generate());
  tokens({1, 2}, 0, 5);
  tokens({1, 2}, 0, 5);
  tokens({2}, 1, 5);
  tokens({9}, 2, 4);  // from an older epoch
  wire::Tokens later_attempt;
  later_attempt.request_id = upstream();
  later_attempt.epoch = 5;
  later_attempt.attempt = 3;
  later_attempt.first_index = 2;
  later_attempt.ids = {9};
  forwarder_->on_node_message(NodeId{0}, later_attempt);
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 1u);
  tokens({3}, 2, 5);
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 2u);
}

TEST_F(ForwarderTest, WithoutAnotherNodeAGapEndsTheRequestAndStopsTheNode) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  tokens({1}, 0);
  tokens({3}, 2);
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 1u);
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderTest, AChoiceThatDoesNotExistIsAsBadAsAGap) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("r", 2));
  tokens({1}, 0, 1, 2);
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
}

TEST_F(ForwarderTest, ANodesErrorIsTheFinalMessage) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->on_node_message(
      NodeId{0},
      wire::ErrorReply{upstream(), ErrorCode::kContextLengthExceeded, "9 > 8", "prompt"});
  EXPECT_EQ(only_error().code, ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(only_error().param, "prompt");
  done();
  EXPECT_EQ(replies_->n_final_messages(), 1u);
}

TEST_F(ForwarderTest, ANodesErrorAboutARequestThatItCouldNotReadEndsIt) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->on_node_message(
      NodeId{0}, wire::ErrorReply{upstream(), ErrorCode::kInvalidRequest, "malformed", ""});
  EXPECT_EQ(only_error().message, "malformed");
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderTest, AnUnreadableAnswerEndsItsRequestAtOnce) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  const Error error{ErrorCode::kInvalidRequest, "more than 1048576 values", ""};
  forwarder_->on_unreadable(NodeId{0}, "", error);
  forwarder_->on_unreadable(NodeId{0}, "another's", error);
  forwarder_->on_unreadable(NodeId{1}, upstream(), error);
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
  forwarder_->on_unreadable(NodeId{0}, upstream(), error);
  EXPECT_EQ(only_error().code, ErrorCode::kInternal);
  EXPECT_EQ(only_error().message, "the node's answer cannot be read: more than 1048576 values");
  EXPECT_EQ(links_.all<wire::Cancel>()[0].request_id, upstream());
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

}  // namespace
}  // namespace lockstep::testing
