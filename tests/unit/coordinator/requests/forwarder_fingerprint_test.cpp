// Forwarder: requests that another coordinator began: where they may run, and which of their tokens
// are new to the client.
#include "tests/unit/coordinator/forwarder_harness.h"

namespace lockstep::testing {
namespace {

class ForwarderFingerprintTest : public ForwarderTest {
 protected:
  void submit(const std::string& fingerprint, std::vector<wire::EmittedChoice> emitted = {}) {
    wire::Generate request = generate("r", emitted.empty() ? 1 : emitted.size());
    request.seed = 7;
    request.emitted = std::move(emitted);
    forwarder_->submit(client(), std::vector<wire::Generate>{request}, fingerprint);
  }
};

TEST_F(ForwarderFingerprintTest, OnlyTheRequiredFingerprintRunsIt) {
  node_is_ready(0, 1, "m", "old");
  node_is_ready(1, 1, "m", "new");
  node_is_ready(2, 1, "m", "new");
  submit("old");
  EXPECT_EQ(nodes_asked(), std::vector<uint32_t>{0});
  error(0, ErrorCode::kOverloaded);
  EXPECT_EQ(nodes_asked(), std::vector<uint32_t>{0}) << "no other node has it";
  EXPECT_EQ(only_error().code, ErrorCode::kOverloaded);
}

TEST_F(ForwarderFingerprintTest, AFingerprintThatNoNodeHasIsNamed) {
  node_is_ready(0, 1, "m", "new");
  node_is_ready(1, 1, "other", "old");
  submit("old");
  EXPECT_TRUE(nodes_asked().empty());
  EXPECT_EQ(only_error().code, ErrorCode::kConflict);
  EXPECT_EQ(only_error().param, "resume_token");
  EXPECT_EQ(only_error().message,
            "no node serves 'm' with the fingerprint old, with which this request began");
}

TEST_F(ForwarderFingerprintTest, AcceptedNamesTheFingerprint) {
  node_is_ready(0, 1, "m", "f");
  submit("");
  forwarder_->on_node_message(NodeId{0}, wire::Accepted{upstream(), 7, "", {}, 2});
  EXPECT_EQ(replies_->all<wire::Accepted>().at(0).fingerprint, "f");
}

TEST_F(ForwarderFingerprintTest, WhatTheClientHasIsNotDeliveredAgain) {
  node_is_ready(0, 1, "m", "f");
  submit("f", {{{}, std::nullopt, 2}, {{}, std::nullopt, 1}});
  tokens({1}, 0);
  tokens({2}, 1);
  EXPECT_TRUE(replies_->all<wire::Tokens>().empty());
  tokens({3}, 2);
  ASSERT_EQ(replies_->all<wire::Tokens>().size(), 1u);
  EXPECT_EQ(replies_->all<wire::Tokens>()[0].first_index, 2u);
}

TEST_F(ForwarderFingerprintTest, AClientThatSaysItHasMoreThanThereIsGetsAnError) {
  node_is_ready(0, 1, "m", "f");
  submit("f", {{{}, std::nullopt, 3}});
  tokens({1}, 0);
  wire::Tokens last;
  last.request_id = upstream();
  last.first_index = 1;
  last.ids = {2};
  last.epoch = 1;
  last.finish_reason = "stop";
  forwarder_->on_node_message(NodeId{0}, last);
  EXPECT_EQ(only_error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(only_error().param, "index");
  EXPECT_EQ(only_error().message, "index says 3 outputs of choice 0, which ended after 2");
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 1u);
}

// The client may have the last output and not the end.
TEST_F(ForwarderFingerprintTest, TheEndIsDeliveredWithoutTheOutputsThatTheClientHas) {
  node_is_ready(0, 1, "m", "f");
  submit("f", {{{}, std::nullopt, 1}});
  wire::Tokens last;
  last.request_id = upstream();
  last.ids = {1};
  last.epoch = 1;
  last.finish_reason = "stop";
  forwarder_->on_node_message(NodeId{0}, last);
  ASSERT_EQ(replies_->all<wire::Tokens>().size(), 1u);
  EXPECT_EQ(replies_->all<wire::Tokens>()[0].finish_reason, "stop");
  EXPECT_EQ(replies_->all<wire::Tokens>()[0].first_index, 1u);
  EXPECT_TRUE(replies_->all<wire::Tokens>()[0].ids.empty());
}

}  // namespace
}  // namespace lockstep::testing
