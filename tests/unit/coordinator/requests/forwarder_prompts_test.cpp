// Forwarder: prompts that are text become ids before they are placed, and everything that can
// happen to a request while its prompt is being encoded.

#include <numeric>

#include "common/prefix_hash.h"
#include "coordinator/prompts/prompt_encoder.h"
#include "coordinator/requests/route_request.h"
#include "tests/unit/coordinator/forwarder_harness.h"
#include "tests/unit/coordinator/prompts_support.h"
#include "wire/codec/sendable.h"
#include "wire/limits.h"

namespace lockstep::testing {
namespace {

using Ids = std::vector<int32_t>;

class ForwarderPrompts : public ForwarderTest {
 protected:
  ForwarderPrompts() {
    for (const uint32_t node : {0, 1}) ready(node);
    fetch_model();
    make_with_encoder({.resume_timeout = milliseconds{0}});
  }
  ~ForwarderPrompts() override { worker_.stop(); }

  void make_with_encoder(ForwarderConfig config) {
    make(std::move(config), RoutingPolicy::kRoundRobin, &encoder_);
  }
  void ready(uint32_t node, uint64_t epoch = 1, const std::string& text = "", int64_t context = 0) {
    wire::Welcome welcome;
    welcome.epoch = epoch;
    welcome.fingerprint = "f";
    welcome.text_fingerprint = text.empty() ? fingerprint_ : text;
    welcome.models = {{"m", 1, static_cast<uint64_t>(context > 0 ? context : 100'000)}};
    welcome.max_num_seqs = 4;
    nodes_.on_welcome(NodeId{node}, welcome);
  }
  void fetch_model() {
    models_.tick();
    ASSERT_EQ(links_.all<wire::DescribeText>().size(), 1u);
    models_.on_message(
        links_.last_node(),
        wire::TextDescription{links_.all<wire::DescribeText>()[0].request_id, fingerprint_, data_});
    results_.run_next();
    links_.sent.clear();
  }
  wire::Generate long_text(const std::string& id = "r") {
    wire::Generate request = generate(id);
    request.prompt_text = std::string(5000, 'a') + " hello";
    return request;
  }
  Ids ids_of(const wire::Generate& request) const {
    return model_
        .encode(prompt_text(request.prompt_text, request.messages, request.add_special_tokens))
        .value();
  }
  std::vector<wire::Generate> sent() const { return links_.all<wire::Generate>(); }
  bool counted(const std::string& outcome, int n) const {
    return page_has("prompts_total{outcome=\"" + outcome + "\"} " + std::to_string(n));
  }

  const std::string data_ = write_text_data(small_text_data());
  const std::string fingerprint_ = text_fingerprint(data_);
  const TextModel model_ = small_text_model();
  HeldResults results_;
  TextWorker worker_{8, results_.post(), PromptEncoder::kTenantGroups};
  TextModels models_{nodes_,
                     [this](NodeId node, const wire::Message& m) { return links_.send(node, m); },
                     worker_, clock_};
  PromptEncoder encoder_{models_, worker_};
};

TEST_F(ForwarderPrompts, AShortTextAndAShortChatAreSentAsIds) {
  wire::Generate text = generate("text"), chat = generate("chat");
  chat.prompt_text.reset();
  chat.messages = {{"user", "hello <|end|>", ""}};
  for (const wire::Generate& request : {text, chat}) {
    forwarder_->submit(client(), request);
    ASSERT_TRUE(sent().back().prompt_ids);
    EXPECT_EQ(*sent().back().prompt_ids, ids_of(request));
    EXPECT_FALSE(sent().back().prompt_text || sent().back().messages);
  }
  EXPECT_TRUE(counted("encoded", 2));
  EXPECT_TRUE(page_has("tokenize_seconds_count 2"));
}

TEST_F(ForwarderPrompts, IdsAreSentUnchanged) {
  wire::Generate request = generate();
  request.prompt_text.reset();
  request.prompt_ids = Ids(100, 5);
  forwarder_->submit(client(), request);
  EXPECT_EQ(sent().back().prompt_ids, request.prompt_ids);
  EXPECT_TRUE(counted("ids", 1));
  EXPECT_TRUE(page_has("tokenize_seconds_count 0"));
}

TEST_F(ForwarderPrompts, ALongTextIsPlacedOnceItIsEncoded) {
  forwarder_->submit(client(), long_text());
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
  EXPECT_TRUE(page_has("requests{state=\"queued\"} 1"));
  for (int i = 0; i < 10; ++i) {
    clock_.advance(milliseconds(500));
    forwarder_->tick();
  }
  EXPECT_TRUE(sent().empty()) << "a round for requests without a node is not for this one";
  results_.run_next();
  ASSERT_EQ(sent().size(), 1u);
  EXPECT_EQ(sent()[0].prompt_ids, ids_of(long_text()));
  EXPECT_TRUE(page_has("requests{state=\"placed\"} 1"));
  forwarder_->check_invariants();
  done();
  EXPECT_EQ(replies_->n_final_messages(), 1u);
}

TEST_F(ForwarderPrompts, AShortPromptOvertakesALongOne) {
  forwarder_->submit(client(), long_text("long"));
  forwarder_->submit(client(), generate("short"));
  EXPECT_EQ(sent().size(), 1u);
  results_.run_next();
  EXPECT_EQ(sent().size(), 2u);
}

TEST_F(ForwarderPrompts, EachEndWhileItIsEncodedIsOneEndAndTheResultIsDropped) {
  const auto budget = std::make_shared<ByteBudget>(1 << 20);
  make_with_encoder({.bytes = budget, .request_timeout = milliseconds(1000)});
  const std::vector<std::pair<std::optional<ErrorCode>, std::function<void()>>> ends = {
      {ErrorCode::kCancelled, [&] { forwarder_->cancel("c", "r"); }},
      {std::nullopt, [&] { forwarder_->drop_client("c"); }},
      {ErrorCode::kDeadlineExceeded,
       [&] {
         clock_.advance(milliseconds(1001));
         forwarder_->tick();
       }},
      {ErrorCode::kNoNodeReady, [&] { forwarder_->end_everything(); }},
  };
  for (const auto& [code, end] : ends) {
    replies_->got.clear();
    forwarder_->submit(client(), long_text());
    end();
    EXPECT_EQ(forwarder_->n_inflight(), 0u);
    EXPECT_GT(budget->n_bytes_held(), 5000u) << "the worker still has the text";
    results_.run_next();
    EXPECT_EQ(budget->n_bytes_held(), 0u);
    EXPECT_TRUE(sent().empty());
    if (code)
      EXPECT_EQ(only_error().code, *code);
    else
      EXPECT_TRUE(replies_->got.empty());
  }
}

TEST_F(ForwarderPrompts, AResultIsNotForALaterRequestWithTheSameId) {
  wire::Generate other = long_text();
  *other.prompt_text += " world";
  forwarder_->submit(client(), long_text());
  forwarder_->cancel("c", "r");
  forwarder_->submit(client(), other);
  results_.run_next();
  EXPECT_TRUE(sent().empty()) << "the result of the cancelled request";
  results_.run_next();
  ASSERT_EQ(sent().size(), 1u);
  EXPECT_EQ(sent()[0].prompt_ids, ids_of(other));
}

TEST_F(ForwarderPrompts, AnIdenticalResendIsIgnoredBeforeAndAfterAndAnotherIsAConflict) {
  wire::Generate other = long_text(), chat = long_text();
  other.prompt_text->back() = 'x';
  chat.messages = {{"user", *std::exchange(chat.prompt_text, {}), ""}};
  for (const bool encoded : {false, true}) {
    if (!encoded)
      forwarder_->submit(client(), long_text());
    else
      results_.run_next();
    forwarder_->submit(client(), long_text());
    EXPECT_TRUE(replies_->got.empty());
    for (const wire::Generate& conflict : {other, chat}) {
      replies_->got.clear();
      forwarder_->submit(client(), conflict);
      EXPECT_EQ(only_error().code, ErrorCode::kConflict);
    }
    replies_->got.clear();
  }
  EXPECT_EQ(sent().size(), 1u);
  wire::Generate ids = long_text();
  ids.prompt_ids = ids_of(long_text());
  ids.prompt_text.reset();
  forwarder_->submit(client(), ids);
  EXPECT_EQ(only_error().code, ErrorCode::kConflict) << "the same ids are not the same request";
}

TEST_F(ForwarderPrompts, TheNextNodeGetsTheSameIds) {
  forwarder_->submit(client(), generate());
  error(nodes_asked().back(), ErrorCode::kOverloaded);
  ASSERT_EQ(sent().size(), 2u);
  EXPECT_EQ(sent()[0].prompt_ids, sent()[1].prompt_ids);
  EXPECT_EQ(sent()[1].prompt_ids, ids_of(generate()));
}

TEST_F(ForwarderPrompts, WhatTheNodeWillRefuseIsSentAsItCame) {
  wire::Generate no_messages = generate("1"), raises = generate("2"), too_long = generate("3");
  no_messages.prompt_text.reset();
  no_messages.messages.emplace();
  raises.prompt_text.reset();
  raises.messages = {{"bad", "x", ""}};
  ready(0, 1, "", 100);
  ready(1, 1, "", 100);
  too_long.prompt_text = std::string(4000, 'x');
  int n = 0;
  for (const wire::Generate& request : {no_messages, raises, too_long}) {
    forwarder_->submit(client(), request);
    EXPECT_EQ(sent().back().prompt_text, request.prompt_text);
    EXPECT_EQ(sent().back().messages, request.messages);
    EXPECT_FALSE(sent().back().prompt_ids);
    EXPECT_TRUE(counted("text_refused", ++n));
  }
}

TEST_F(ForwarderPrompts, WithoutATextModelTextIsSent) {
  ready(1, 1, "another");
  forwarder_->submit(client(), generate());
  EXPECT_EQ(sent().back().prompt_text, "Hi") << "the nodes do not agree";
  EXPECT_TRUE(counted("text_no_model", 1));
  ready(1);
  forwarder_->submit(client("d"), generate());
  EXPECT_TRUE(sent().back().prompt_ids);
}

TEST_F(ForwarderPrompts, ATextThatFindsNoRoomIsSentAtOnce) {
  for (int i = 0; i < 3; ++i) forwarder_->submit(client(), long_text(std::to_string(i)));
  ASSERT_EQ(sent().size(), 1u) << "two places for one tenant";
  EXPECT_EQ(sent()[0].prompt_text, long_text().prompt_text);
  EXPECT_TRUE(counted("text_busy", 1));
  results_.run_next();
  results_.run_next();
  EXPECT_EQ(sent().size(), 3u);
}

TEST_F(ForwarderPrompts, NoNodeTakesItAnyMore) {
  forwarder_->submit(client(), long_text());
  nodes_.on_disconnected(NodeId{0});
  nodes_.on_disconnected(NodeId{1});
  results_.run_next();
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
  EXPECT_EQ(only_error().message, "no node takes requests now");
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderPrompts, TheTimeoutOfTheQueueBeginsOnceItIsEncoded) {
  make_with_encoder({.queue_timeout = milliseconds(1000)});
  forwarder_->submit(client(), long_text());
  clock_.advance(milliseconds(5000));
  forwarder_->tick();
  EXPECT_TRUE(replies_->got.empty());
  nodes_.on_disconnected(NodeId{0});
  nodes_.on_disconnected(NodeId{1});
  results_.run_next();
  clock_.advance(milliseconds(800));
  forwarder_->tick();
  EXPECT_TRUE(replies_->got.empty());
  ready(0, 2);
  clock_.advance(milliseconds(150));
  forwarder_->tick();
  EXPECT_EQ(sent().size(), 1u);
}

// Text of one letter: four letters make a token.
TEST_F(ForwarderPrompts, TheBudgetCountsWhatIsHeld) {
  wire::Generate seeded = generate(std::string(128, 'r'));
  seeded.seed = 7;
  seeded.prompt_text = std::string(4000, 'a');
  const size_t n_text = wire::encoded_size(seeded).n_bytes - 1;
  seeded.prompt_ids = ids_of(seeded);
  seeded.prompt_text.reset();
  const size_t n_ids =
      wire::encoded_size(seeded).n_bytes - 1 + 8 * (seeded.prompt_ids->size() / 16);
  ASSERT_LT(n_ids, n_text);
  const auto budget = std::make_shared<ByteBudget>(n_text);
  make_with_encoder({.seed = 7, .bytes = budget});
  wire::Generate request = generate();
  request.prompt_text = std::string(4000, 'a');
  forwarder_->submit(client(), request);
  EXPECT_TRUE(sent().back().prompt_ids);
  EXPECT_EQ(budget->n_bytes_held(), n_ids);
}

// Letters that the vocabulary spells byte by byte take more room as ids.
TEST_F(ForwarderPrompts, WhatTheBudgetCannotHoldAsIdsIsHeldAsText) {
  wire::Generate request = generate();
  request.seed = 7;
  request.prompt_text.emplace();
  for (int i = 0; i < 400; ++i) *request.prompt_text += "\u00e9";
  const size_t n_text = wire::encoded_size(request).n_bytes + wire::kMaxRequestIdBytes;
  const auto budget = std::make_shared<ByteBudget>(n_text + 500);
  make_with_encoder({.bytes = budget});
  forwarder_->submit(client(), request);
  ASSERT_EQ(sent().size(), 1u);
  EXPECT_EQ(sent().back().prompt_text, request.prompt_text);
  EXPECT_TRUE(counted("text_too_large", 1));
  EXPECT_GT(budget->n_bytes_held(), 800u);
  done();
  EXPECT_EQ(budget->n_bytes_held(), 0u);
}

// The exact length is known, so the small node is not tried.
TEST_F(ForwarderPrompts, ThePlaceIsChosenByTheNumberOfTokens) {
  ready(0, 1, "", 200);
  ready(1, 1, "", 1000);
  for (int i = 0; i < 4; ++i) {
    wire::Generate request = generate(std::to_string(i));
    request.prompt_text = std::string(500, 'x');
    forwarder_->submit(client(), request);
    EXPECT_EQ(nodes_asked().back(), 1u);
  }
}

// Without a full block, and without its text, a prompt must not look like every other one.
TEST(PreparedPromptTest, ShortPromptsGoTogetherOnlyIfTheyBeginAlike) {
  const auto affinity = [](Ids ids, const std::string& salt = "") {
    Inflight request;
    wire::Generate generate;
    generate.cache_salt = salt;
    request.request = generate;
    request.prompt = PreparedPrompt{.ids = std::move(ids), .block_size = 16};
    return route_request(request).affinity;
  };
  EXPECT_EQ(affinity({1, 2}), affinity({1, 2}));
  EXPECT_NE(affinity({1, 2}), affinity({1, 3}));
  EXPECT_NE(affinity({1, 2}), affinity({1, 2}, "salt"));
}

TEST(PreparedPromptTest, HashesAreThoseThatNodesPublish) {
  PromptJob job{.prompt = {.ids = Ids(50)}, .cache_salt = "salt"};
  std::iota(job.prompt.ids->begin(), job.prompt.ids->end(), 1);
  prepare_ids(job, 16);
  ASSERT_TRUE(job.result);
  EXPECT_EQ(job.result->block_size, 16);
  EXPECT_EQ(job.result->block_hashes, block_hashes(prefix_hash("salt"), *job.prompt.ids, 16));
  EXPECT_EQ(job.result->block_hashes.size(), 3u);
  job.cache_prompt = false;
  prepare_ids(job, 16);
  EXPECT_TRUE(job.result->block_hashes.empty());
  EXPECT_EQ(job.result->ids, *job.prompt.ids);
  prepare_ids(job, 0);
  EXPECT_EQ(job.result->block_size, 0);
}

}  // namespace
}  // namespace lockstep::testing
