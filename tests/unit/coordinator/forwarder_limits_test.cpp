// Forwarder: requests that it does not send to a node, and the bytes that requests hold while they
// are at a node.
#include "tests/unit/coordinator/forwarder_harness.h"
#include "wire/codec/sendable.h"
#include "wire/limits.h"

namespace lockstep::testing {
namespace {

class ForwarderLimits : public ForwarderTest {
 protected:
  // A budget for exactly `n_requests` requests of generate(), without a spare byte.
  void make_budget(size_t n_requests) {
    node_is_ready(0);
    wire::Generate seeded = generate(std::string(wire::kMaxRequestIdBytes, 'r'));
    seeded.seed = kSeed;
    n_bytes_ = wire::encoded_size(seeded).n_bytes - 1;  // its length takes one more
    budget_ = std::make_shared<ByteBudget>(n_requests * n_bytes_);
    make({.seed = kSeed, .bytes = budget_, .request_timeout = milliseconds(1000)});
  }
  static constexpr uint64_t kSeed = 7;
  size_t n_bytes_ = 0;
  std::shared_ptr<ByteBudget> budget_;
};

TEST_F(ForwarderLimits, WhatNoNodeCouldReadIsRefusedBeforeItIsSent) {
  node_is_ready(0);
  wire::Generate large = generate("large");
  large.prompt_text = std::string(wire::kMaxMessageBytes, 'x');
  wire::Generate many = generate("many");
  many.prompt_text.reset();
  many.prompt_ids.emplace(wire::kMaxValues, 5);
  wire::Generate chat = generate("chat");
  chat.prompt_text.reset();
  chat.messages.emplace(215'000, wire::ChatMessage{"user", "a", ""});
  wire::Detokenize ids{"ids", "m", std::vector<int32_t>(wire::kMaxValues, 5)};
  for (const wire::Generate& request : {large, many, chat}) forwarder_->submit(client(), request);
  forwarder_->submit(client(), ids);
  const auto errors = replies_->all<wire::ErrorReply>();
  ASSERT_EQ(errors.size(), 4u);
  for (const wire::ErrorReply& error : errors) {
    EXPECT_EQ(error.code, ErrorCode::kPayloadTooLarge) << error.request_id;
    const bool is_large = error.request_id == "large";
    const std::string limit = std::to_string(is_large ? wire::kMaxMessageBytes : wire::kMaxValues);
    EXPECT_NE(error.message.find(limit), std::string::npos) << error.message;
  }
  EXPECT_TRUE(links_.sent.empty());
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderLimits, TheLargestMessageGoesThrough) {
  node_is_ready(0);
  wire::Generate request = generate();
  request.prompt_text = std::string(wire::kMaxBodyBytes, 'x');
  forwarder_->submit(client(), request);
  ASSERT_EQ(links_.all<wire::Generate>().size(), 1u);
  EXPECT_TRUE(wire::check_sendable(links_.sent[0].second));
}

TEST_F(ForwarderLimits, AnAnswerThatNobodyCanReadEndsItsRequestAtOnce) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  const Error error{ErrorCode::kInvalidRequest, "more than 1048576 values", ""};
  forwarder_->on_unreadable(NodeId{0}, "", error);
  forwarder_->on_unreadable(NodeId{0}, "somebody else's", error);
  forwarder_->on_unreadable(NodeId{1}, upstream(), error);
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
  forwarder_->on_unreadable(NodeId{0}, upstream(), error);
  EXPECT_EQ(only_error().code, ErrorCode::kInternal);
  EXPECT_EQ(only_error().message, "the node's answer cannot be read: more than 1048576 values");
  EXPECT_EQ(links_.all<wire::Cancel>()[0].request_id, upstream());
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderLimits, ANodesErrorAboutARequestThatItCouldNotReadEndsIt) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->on_node_message(
      NodeId{0}, wire::ErrorReply{upstream(), ErrorCode::kInvalidRequest, "malformed", ""});
  EXPECT_EQ(only_error().message, "malformed");
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderLimits, BytesInFlightHaveABudget) {
  make_budget(2);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  EXPECT_EQ(budget_->n_bytes_held(), 2 * n_bytes_) << "counted exactly";
  forwarder_->submit(client(), generate("c"));
  EXPECT_EQ(only_error().code, ErrorCode::kOverloaded);
  EXPECT_NE(only_error().message.find(std::to_string(2 * n_bytes_)), std::string::npos);
  EXPECT_EQ(links_.all<wire::Generate>().size(), 2u);
}

TEST_F(ForwarderLimits, WhatTheBudgetCanNeverHoldIsNotToldToComeAgain) {
  make_budget(1);
  wire::Generate request = generate();
  request.prompt_text = "Hi and more";
  forwarder_->submit(client(), request);
  EXPECT_EQ(only_error().code, ErrorCode::kPayloadTooLarge);
}

// The bytes are returned for every way in which a request can end.
TEST_F(ForwarderLimits, EveryEndGivesItsBytesBack) {
  make_budget(1);
  const std::vector<std::pair<const char*, std::function<void()>>> ends = {
      {"done", [&] { done(); }},
      {"error",
       [&] {
         forwarder_->on_node_message(NodeId{0},
                                     wire::ErrorReply{upstream(), ErrorCode::kInternal, "", ""});
       }},
      {"unreadable", [&] { forwarder_->on_unreadable(NodeId{0}, upstream(), Error{}); }},
      {"client gone", [&] { forwarder_->drop_client("c"); }},
      {"a gap", [&] { tokens({1}, 5); }},
      {"node lost", [&] { forwarder_->on_node_lost(NodeId{0}); }},
      {"timeout",
       [&] {
         clock_.advance(milliseconds(1001));
         forwarder_->expire();
       }},
      {"shutdown", [&] { forwarder_->end_everything(); }},
  };
  for (const auto& [name, end] : ends) {
    links_.sent.clear();
    forwarder_->submit(client(), generate());
    EXPECT_EQ(budget_->n_bytes_held(), n_bytes_) << name;
    end();
    EXPECT_EQ(budget_->n_bytes_held(), 0u) << name;
    EXPECT_EQ(forwarder_->n_inflight(), 0u) << name;
  }
}

TEST_F(ForwarderLimits, WhatIsRefusedHoldsNothing) {
  make_budget(1);
  links_.cut_off[0] = true;
  forwarder_->submit(client(), generate());
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
  EXPECT_EQ(budget_->n_bytes_held(), 0u);
}

TEST_F(ForwarderLimits, PromptsOfOneRequestShareTheSeedAndNumberTheirChoicesThrough) {
  node_is_ready(0);
  forwarder_->submit(client(), std::vector{generate("0", 2), generate("1", 2), generate("2", 2)});
  const auto sent = links_.all<wire::Generate>();
  ASSERT_EQ(sent.size(), 3u);
  ASSERT_TRUE(sent[0].seed);
  for (const wire::Generate& prompt : sent) EXPECT_EQ(prompt.seed, sent[0].seed);
  EXPECT_FALSE(sent[0].first_choice) << "the first prompt draws as if it were alone";
  EXPECT_EQ(sent[1].first_choice, 2);
  EXPECT_EQ(sent[2].first_choice, 4);
  auto seeded = std::vector{generate("3"), generate("4")};
  for (wire::Generate& prompt : seeded) prompt.seed = 42;
  forwarder_->submit(client(), seeded);
  for (size_t i = 3; i < 5; ++i) EXPECT_EQ(links_.all<wire::Generate>()[i].seed, 42u);
}

TEST_F(ForwarderLimits, ARepeatedQuestionMayLeaveOutItsModelAgain) {
  node_is_ready(0);
  const wire::Tokenize question{"t", "", "Hi", std::nullopt, true, false};
  forwarder_->submit(client(), question);
  forwarder_->submit(client(), question);
  EXPECT_EQ(links_.sent.size(), 1u);
  EXPECT_TRUE(replies_->got.empty());
}

}  // namespace
}  // namespace lockstep::testing
