// RequestServer with the test's own hand on what its peers can take.
#include "node/service/requests/request_server.h"

#include <gtest/gtest.h>

#include <thread>

#include "common/text/utf8.h"
#include "tests/support/node_harness.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;
using testing::NodeHarness;

// A token behind an even one lacks its first byte.
class ContextTokenizer final : public testing::FakeTokenizer {
 public:
  std::string_view bytes_after(int32_t previous, int32_t id, bool special) const override {
    std::string_view bytes = token_bytes(id, special);
    if (previous % 2 == 0 && !bytes.empty()) bytes.remove_prefix(1);
    return bytes;
  }
};

// The harness's engine and model, but outputs are taken and messages are sent by the test.
class RequestServerTest : public ::testing::Test {
 protected:
  RequestServerTest() {
    StepLimits limits;
    limits.max_tokens = 64;
    limits.max_seqs = limits.max_samples = 4;
    limits.max_model_len = 256;
    limits.max_banned = max_banned_ids(limits.max_seqs, text_.tokenizer());
    executor_.emplace(testing::NullExecutor::Options{
        .limits = limits, .n_kv_blocks = 64, .vocab_size = text_.tokenizer().vocab_size()});
    executor_->on_submit = [this](const StepPlanView&) {
      std::this_thread::sleep_for(step_time_.load());
    };
    EngineConfig config;
    config.limits = limits;
    config.n_kv_blocks = 64;
    engine_.emplace(config, *executor_, text_.tokenizer(), clock_, mailbox_);
    model_.emplace(ServedModel{
        .engine = *engine_, .text = text_, .name = "null", .fingerprint = {}, .backend = {}});
    server_.emplace(*model_, send_queue_, worker_, probes_, clock_);
    engine_->start();
  }
  ~RequestServerTest() override {
    worker_.stop();
    engine_->stop();
  }

  // How many tokens it is shows only when it is rendered.
  static wire::Generate long_chat(const std::string& id, size_t n_bytes) {
    wire::Generate request = NodeHarness::request(id, 5);
    request.prompt_text.reset();
    request.messages = {{"user", std::string(n_bytes, 'x'), ""}};
    return request;
  }

  template <class M>
  std::vector<M> sent() const {
    std::vector<M> out;
    for (const std::string& body : sent_) {
      const Result<wire::Message> message = wire::decode(body);
      if (const auto* m = std::get_if<M>(&*message)) out.push_back(*m);
    }
    return out;
  }
  // Hands outputs over until nothing is live.
  void run_to_the_end(const std::set<std::string>& batched = {}) {
    const auto deadline = std::chrono::steady_clock::now() + testing::WirePeer::kTimeout;
    StepOutputs outputs;
    while (server_->n_live() > 0 && std::chrono::steady_clock::now() < deadline) {
      mailbox_.take(outputs);
      server_->on_outputs(outputs, batched);
      std::this_thread::sleep_for(1ms);
    }
    EXPECT_EQ(server_->n_live(), 0u);
  }

  SteadyClock clock_;
  // A chat is the content of its first message.
  const TextModel text_{std::make_unique<ContextTokenizer>(),
                        ChatTemplate::parse("{{ messages[0].content }}"), false};
  NodeProbes probes_;
  EventMailbox mailbox_{clock_};
  std::atomic<std::chrono::milliseconds> step_time_{0ms};
  std::optional<testing::NullExecutor> executor_;
  std::optional<Engine> engine_;
  std::optional<ServedModel> model_;
  std::vector<std::string> sent_;
  size_t room_ = 1000000;
  SendQueue send_queue_{
      [this](const std::string&, std::string_view body) -> Result<wire::SendResult> {
        if (room_ == 0) return wire::SendResult::kFull;
        --room_;
        sent_.emplace_back(body);
        return wire::SendResult::kSent;
      }};
  std::vector<TextWorker::Finish> finished_;  // of the worker's jobs; guarded by mutex_
  std::mutex mutex_;
  TextWorker worker_{1, [this](TextWorker::Finish f) {
                       std::lock_guard lock(mutex_);
                       finished_.push_back(std::move(f));
                       return true;
                     }};
  std::optional<RequestServer> server_;
};

TEST_F(RequestServerTest, ASlowReaderGetsNoGapButAnError) {
  step_time_ = 3ms;  // one token a message
  for (const bool batched : {false, true}) {
    sent_.clear();
    room_ = 4;  // accepted and a few tokens
    server_->generate("slow", NodeHarness::request("r", 60));
    run_to_the_end(batched ? std::set<std::string>{"slow"} : std::set<std::string>{});
    EXPECT_FALSE(send_queue_.empty()) << "the final message waits";
    room_ = 1000;
    send_queue_.flush();
    const auto errors = sent<wire::ErrorReply>();
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_EQ(errors[0].code, ErrorCode::kOverloaded);
    EXPECT_TRUE(sent<wire::Done>().empty());
    testing::ChoiceOutput output;
    for (const auto& tokens : sent<wire::Tokens>()) testing::add_tokens(output, tokens);
    for (const auto& batch : sent<wire::TokensBatch>()) {
      for (const auto& tokens : batch.items) testing::add_tokens(output, tokens);
    }
    EXPECT_FALSE(output.has_gap);
    EXPECT_LT(output.ids.size(), 60u);
    EXPECT_GT(output.ids.size(), 0u);
  }
}

TEST_F(RequestServerTest, AResumedRequestGoesOnWhereItStoppedWithTheNumberOfItsAttempt) {
  wire::Generate request = NodeHarness::request("r", 30);
  server_->generate("p", request);
  run_to_the_end();
  testing::ChoiceOutput whole;
  for (const auto& tokens : sent<wire::Tokens>()) testing::add_tokens(whole, tokens);
  ASSERT_EQ(whole.ids.size(), 30u);
  EXPECT_EQ(sent<wire::Accepted>()[0].max_tokens, 30u);
  for (const size_t n : {0u, 1u, 20u, 30u}) {
    sent_.clear();
    testing::ChoiceOutput output;
    output.ids.assign(whole.ids.begin(), whole.ids.begin() + static_cast<ptrdiff_t>(n));
    request.emitted = {{output.ids, std::nullopt}};
    if (n == 30) request.emitted[0].finish_reason = "length";
    request.attempt = 4;
    server_->generate("p", request);
    run_to_the_end();
    for (const auto& tokens : sent<wire::Tokens>()) {
      EXPECT_EQ(tokens.attempt, 4u);
      testing::add_tokens(output, tokens);
    }
    EXPECT_FALSE(output.has_gap);
    EXPECT_EQ(output.ids, whole.ids);
    ASSERT_EQ(sent<wire::Done>().size(), 1u);
    EXPECT_EQ(sent<wire::Done>()[0].reason, "length");
    EXPECT_EQ(sent<wire::Done>()[0].usage.completion_tokens, 30u);
  }
}

// The text takes no place in the queue: the only one is taken already.
TEST_F(RequestServerTest, LongTextIsRefusedByItsBytesBeforeItWaitsToBeTokenised) {
  ASSERT_TRUE(worker_.run(1 << 20, 0, [] { return [] {}; }));
  wire::Generate request = NodeHarness::request("long", 1);
  request.prompt_text = std::string(16 << 20, 'x');
  server_->generate("p", request);
  ASSERT_EQ(sent<wire::ErrorReply>().size(), 1u);
  const wire::ErrorReply error = sent<wire::ErrorReply>()[0];
  EXPECT_EQ(error.code, ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(error.param, "prompt");
  for (const char* number : {"16777216 bytes", "16777216 tokens", "255"}) {
    EXPECT_NE(error.message.find(number), std::string::npos) << error.message;
  }
  EXPECT_EQ(server_->n_live(), 0u);
}

// The loop stood still for long: what it then has for a coordinator is more than one message may
// have.
TEST_F(RequestServerTest, OutputsThatPiledUpGoOutInMessagesThatCanBeRead) {
  wire::Generate request = NodeHarness::request("r", 240);
  request.n = 28;
  request.logprobs = 20;
  server_->generate("c", request);
  const auto deadline = std::chrono::steady_clock::now() + testing::WirePeer::kTimeout;
  while (engine_->snapshot().n_length < 1 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(1ms);
  }
  run_to_the_end({"c"});
  std::map<uint32_t, testing::ChoiceOutput> choices;
  for (const std::string& body : sent_) {
    const Result<wire::Message> message = wire::decode(body);
    ASSERT_TRUE(message) << message.error().message;
    const auto* batch = std::get_if<wire::TokensBatch>(&*message);
    if (batch == nullptr) continue;
    for (const auto& tokens : batch->items) testing::add_tokens(choices[tokens.choice], tokens);
  }
  ASSERT_EQ(choices.size(), 28u);
  for (const auto& [choice, output] : choices) {
    EXPECT_EQ(output.ids.size(), 240u);
    EXPECT_FALSE(output.has_gap);
  }
  EXPECT_GT(sent<wire::TokensBatch>().size(), 1u) << "all of it is more than one message may have";
  EXPECT_EQ(sent<wire::Done>().size(), 1u);
}

TEST_F(RequestServerTest, TheBytesOfLogprobsPutTogetherAreTheText) {
  wire::Generate request = NodeHarness::request("r", 40);
  request.n = 3;
  request.logprobs = 0;
  server_->generate("p", request);
  run_to_the_end();
  std::map<uint32_t, std::string> bytes, text;
  for (const auto& tokens : sent<wire::Tokens>()) {
    text[tokens.choice] += tokens.text;
    for (const auto& row : tokens.logprobs)
      if (!row.special) bytes[tokens.choice] += row.bytes;
  }
  ASSERT_EQ(text.size(), 3u);
  for (const auto& [choice, whole] : text) {
    EXPECT_EQ(utf8::replace_invalid(bytes[choice]), whole) << choice;
  }
}

TEST_F(RequestServerTest, EveryRequestGetsExactlyOneFinalMessage) {
  constexpr int kRequests = 200;
  int n_cancelled = 0;
  for (int i = 0; i < kRequests; ++i) {
    const std::string id = std::to_string(i);
    wire::Generate request = NodeHarness::request(id, 1 + i % 20);
    if (i % 5 == 0) request.model = "other";
    server_->generate("p", std::move(request));
    if (i % 3 == 0) {
      server_->cancel("p", id);
      ++n_cancelled;
    }
  }
  run_to_the_end();
  std::map<std::string, int> final_messages;
  for (const auto& m : sent<wire::Done>()) ++final_messages[m.request_id];
  for (const auto& m : sent<wire::ErrorReply>()) ++final_messages[m.request_id];
  EXPECT_EQ(final_messages.size(), static_cast<size_t>(kRequests));
  for (const auto& [id, n] : final_messages) EXPECT_EQ(n, 1) << id;
}

TEST_F(RequestServerTest, ARequestCancelledWhileItsPromptIsEncodedNeverRuns) {
  server_->generate("p", long_chat("long", 5000));
  EXPECT_EQ(server_->n_live(), 1u);
  server_->cancel("p", "long");
  ASSERT_EQ(sent<wire::ErrorReply>().size(), 1u);
  EXPECT_EQ(sent<wire::ErrorReply>()[0].code, ErrorCode::kCancelled);
  const auto deadline = std::chrono::steady_clock::now() + testing::WirePeer::kTimeout;
  while (std::chrono::steady_clock::now() < deadline) {
    std::lock_guard lock(mutex_);
    if (finished_.empty()) continue;
    finished_[0]();
    break;
  }
  EXPECT_EQ(sent_.size(), 1u);
  EXPECT_EQ(engine_->snapshot().n_accepted, 0u);
}

TEST_F(RequestServerTest, TooManyLongPromptsAreRefusedNotQueuedWithoutEnd) {
  for (int i = 0; i < 50; ++i) {
    server_->generate("p", long_chat(std::to_string(i), 4 << 20));
  }
  const auto errors = sent<wire::ErrorReply>();
  ASSERT_FALSE(errors.empty());
  EXPECT_EQ(errors[0].code, ErrorCode::kOverloaded);
  server_->drop_peer("p");
  EXPECT_EQ(server_->n_live(), 0u);
}

}  // namespace
}  // namespace lockstep
