// Forwarder: a request before it is sent: its seed, whether it repeats a live request, and what is
// refused at once.
#include "tests/unit/coordinator/forwarder_harness.h"
#include "wire/codec/sendable.h"
#include "wire/limits.h"

namespace lockstep::testing {
namespace {

TEST_F(ForwarderTest, ASeedIsChosenWhereThereIsNone) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  auto with_seed = generate("c");
  with_seed.seed = 42;
  forwarder_->submit(client(), with_seed);
  const auto sent = links_.all<wire::Generate>();
  ASSERT_TRUE(sent[0].seed.has_value());
  EXPECT_NE(sent[0].seed, sent[1].seed);
  EXPECT_LT(*sent[0].seed, uint64_t{1} << 53);
  EXPECT_EQ(sent[2].seed, 42u);
}

TEST_F(ForwarderTest, TheConfiguredSeedIsTheSeedOfEveryRequest) {
  make({.seed = 7});
  node_is_ready(0);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  for (const wire::Generate& sent : links_.all<wire::Generate>()) EXPECT_EQ(sent.seed, 7u);
}

TEST_F(ForwarderTest, PromptsOfOneRequestShareTheSeedAndNumberTheirChoicesThrough) {
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

TEST_F(ForwarderTest, ResendingARunningRequestIsHarmless) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->submit(client(), generate());
  EXPECT_EQ(links_.all<wire::Generate>().size(), 1u);
  EXPECT_TRUE(replies_->got.empty());
}

TEST_F(ForwarderTest, ARepeatedQuestionMayLeaveOutItsModelAgain) {
  node_is_ready(0);
  const wire::Tokenize question{"t", "", "Hi", std::nullopt, true, false};
  forwarder_->submit(client(), question);
  forwarder_->submit(client(), question);
  EXPECT_EQ(links_.sent.size(), 1u);
  EXPECT_TRUE(replies_->got.empty());
}

TEST_F(ForwarderTest, ADifferentRequestUnderALiveIdIsAConflict) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  auto other = generate();
  other.prompt_text = "Ho";
  forwarder_->submit(client(), other);
  EXPECT_EQ(only_error().code, ErrorCode::kConflict);
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
}

TEST_F(ForwarderTest, NoNodeMeansNoNodeReady) {
  forwarder_->submit(client(), generate());
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
}

TEST_F(ForwarderTest, AnUnknownModelIsNamed) {
  node_is_ready(0);
  auto request = generate();
  request.model = "gpt-9";
  forwarder_->submit(client(), request);
  EXPECT_EQ(only_error().code, ErrorCode::kModelNotFound);
  EXPECT_EQ(only_error().message, "the model 'gpt-9' does not exist");
}

TEST_F(ForwarderTest, AnAbsurdNumberOfChoicesTakesNoMemory) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("r", int64_t{1} << 40));
  EXPECT_EQ(only_error().param, "n");
}

TEST_F(ForwarderTest, WhatNoNodeCouldReadIsRefusedBeforeItIsSent) {
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

TEST_F(ForwarderTest, TheLargestMessageGoesThrough) {
  node_is_ready(0);
  wire::Generate request = generate();
  request.prompt_text = std::string(wire::kMaxBodyBytes, 'x');
  forwarder_->submit(client(), request);
  ASSERT_EQ(links_.all<wire::Generate>().size(), 1u);
  EXPECT_TRUE(wire::check_sendable(links_.sent[0].second));
}

TEST_F(ForwarderTest, AFullCoordinatorSaysSo) {
  make({.max_inflight = 1});
  node_is_ready(0);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  EXPECT_EQ(only_error().code, ErrorCode::kOverloaded);
}

TEST_F(ForwarderTest, WhileDrainingNewRequestsAreRefusedAndOldOnesFinish) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("a"));
  forwarder_->begin_drain();
  forwarder_->submit(client(), generate("b"));
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
  links_.sent.resize(1);
  done();
  EXPECT_EQ(replies_->all<wire::Done>().size(), 1u);
}

}  // namespace
}  // namespace lockstep::testing
