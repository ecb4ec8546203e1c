// The C++ client over loopback ZeroMQ, against a node with a null model and against a fake node
// that violates the protocol by a script.
#include "clients/cpp/client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/fake_node.h"
#include "tests/support/node_harness.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;
using testing::FakeNode;
using testing::NodeHarness;

constexpr auto kTimeout = testing::WirePeer::kTimeout;

std::unique_ptr<ZmqClient> connect(const std::string& endpoint) {
  auto client = ZmqClient::connect(endpoint);
  EXPECT_TRUE(client);
  return std::move(*client);
}

TEST(ZmqClient, StreamsARequestToItsEnd) {
  NodeHarness node;
  const auto client = connect(node.endpoint());
  uint64_t seed = 0;
  testing::ChoiceOutput output;
  StreamHandlers handlers;
  handlers.on_accepted = [&](const wire::Accepted& m) { seed = m.seed; };
  handlers.on_tokens = [&](const wire::Tokens& m) { testing::add_tokens(output, m); };
  const Result<wire::Done> done =
      client->generate(NodeHarness::request("", 12), handlers, kTimeout);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->reason, "length");
  EXPECT_EQ(done->usage.completion_tokens, 12u);
  EXPECT_EQ(seed, 7u);
  EXPECT_EQ(output.ids.size(), 12u);
  EXPECT_FALSE(output.has_gap);
}

TEST(ZmqClient, RunsManyStreamsOverOneConnection) {
  NodeHarness node;
  const auto client = connect(node.endpoint());
  std::map<std::string, testing::ChoiceOutput> outputs;
  int n_ended = 0;
  for (int i = 0; i < 16; ++i) {
    StreamHandlers handlers;
    handlers.on_tokens = [&](const wire::Tokens& m) {
      testing::add_tokens(outputs[m.request_id], m);
    };
    const auto on_end = [&](const Result<wire::Done>& done) {
      EXPECT_TRUE(done);
      ++n_ended;
    };
    const auto request = NodeHarness::request("r" + std::to_string(i), 5 + i);
    ASSERT_TRUE(client->start(request, handlers, on_end, kTimeout));
  }
  while (client->n_live() > 0) ASSERT_TRUE(client->poll(1000ms));
  EXPECT_EQ(n_ended, 16);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(outputs["r" + std::to_string(i)].ids.size(), static_cast<size_t>(5 + i));
  }
}

TEST(ZmqClient, RefusalsCarryCodeAndField) {
  NodeHarness node;
  const auto client = connect(node.endpoint());
  wire::Generate request = NodeHarness::request("", 5);
  request.temperature = -1;
  Result<wire::Done> done = client->generate(request, {}, kTimeout);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(done.error().param, "temperature");
  request = NodeHarness::request("", 5);
  request.model = "other";
  done = client->generate(request, {}, kTimeout);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kModelNotFound);
  request = NodeHarness::request("", 5);
  request.cache_salt = std::string(257, 's');
  done = client->generate(request, {}, kTimeout);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().param, "cache_salt");
  EXPECT_EQ(done.error().message, "cache_salt must be at most 256 bytes long, not 257");
  request.cache_salt = "acme";
  EXPECT_TRUE(client->generate(request, {}, kTimeout));
}

TEST(ZmqClient, CancelFromACallbackEndsTheStream) {
  NodeHarness node({.step_time = 5ms});
  const auto client = connect(node.endpoint());
  StreamHandlers handlers;
  handlers.on_tokens = [&](const wire::Tokens& m) { EXPECT_TRUE(client->cancel(m.request_id)); };
  const Result<wire::Done> done =
      client->generate(NodeHarness::request("", 200), handlers, kTimeout);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->reason, "cancelled");
}

TEST(ZmqClient, PastTheDeadlineTheRequestIsCancelledAtTheNode) {
  NodeHarness node({.step_time = 5ms});  // so that the cancel comes before the end
  const auto client = connect(node.endpoint());
  node.executor().hold();
  const Result<wire::Done> done = client->generate(NodeHarness::request("", 200), {}, 100ms);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kDeadlineExceeded);
  node.executor().release();
  const auto deadline = std::chrono::steady_clock::now() + kTimeout;
  while (node.engine().snapshot().n_cancelled == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(2ms);
  }
  EXPECT_EQ(node.engine().snapshot().n_cancelled, 1u);
  const Result<wire::Done> next = client->generate(NodeHarness::request("", 5), {}, kTimeout);
  EXPECT_TRUE(next) << "what is left of the late one is skipped";
}

TEST(ZmqClient, AnAbsentServerIsADeadlineNotAHang) {
  const auto client = connect("tcp://127.0.0.1:1");
  const auto begin = std::chrono::steady_clock::now();
  const Result<wire::ClusterStatus> status = client->status(100ms);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_FALSE(client->generate(NodeHarness::request("", 5), {}, 100ms));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  EXPECT_FALSE(ZmqClient::connect("nonsense"));
}

TEST(ZmqClient, QuestionsAreAnsweredBesideAStream) {
  NodeHarness node({.step_time = 2ms});
  const auto client = connect(node.endpoint());
  testing::ChoiceOutput output;
  StreamHandlers handlers;
  handlers.on_tokens = [&](const wire::Tokens& m) { testing::add_tokens(output, m); };
  bool ended = false;
  const auto on_end = [&](const Result<wire::Done>&) { ended = true; };
  ASSERT_TRUE(client->start(NodeHarness::request("", 60), handlers, on_end, kTimeout));
  const Result<wire::ClusterStatus> status = client->status(kTimeout);
  ASSERT_TRUE(status) << status.error().message;
  ASSERT_EQ(status->nodes.size(), 1u);
  EXPECT_EQ(status->nodes[0].state, "ready");
  EXPECT_EQ(status->nodes[0].load.n_blocks_total, 64);
  const Result<wire::Models> models = client->models(kTimeout);
  ASSERT_TRUE(models);
  EXPECT_EQ(models->models.at(0).id, "null");
  wire::Tokenize text;
  text.model = "null";
  text.prompt = "abc";
  const Result<wire::Tokenized> tokenized = client->tokenize(text, kTimeout);
  ASSERT_TRUE(tokenized);
  EXPECT_EQ(tokenized->tokens, (std::vector<int32_t>{'a', 'b', 'c'}));
  const Result<wire::Detokenized> back =
      client->detokenize({"", "null", tokenized->tokens}, kTimeout);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->prompt, "abc");
  while (!ended) ASSERT_TRUE(client->poll(1000ms));
  EXPECT_EQ(output.ids.size(), 60u);
  EXPECT_FALSE(output.has_gap);
}

wire::ErrorReply error_without_id() {
  return {"", ErrorCode::kInvalidRequest, "cannot be read", ""};
}

TEST(ZmqClient, AnErrorWithoutAnIdEndsTheOnlyStream) {
  FakeNode node(FakeNode::silence());
  const auto client = connect(node.endpoint());
  std::thread peer([&] {
    node.wait_request(0);
    node.say(error_without_id());
  });
  const Result<wire::Done> done = client->generate(NodeHarness::request("r"), {}, kTimeout);
  peer.join();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(done.error().message, "cannot be read");
}

TEST(ZmqClient, AnErrorWithoutAnIdEndsNoneOfSeveralStreams) {
  FakeNode node(FakeNode::silence());
  const auto client = connect(node.endpoint());
  const auto on_end = [](const Result<wire::Done>&) { ADD_FAILURE() << "it may be the other's"; };
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(client->start(NodeHarness::request(id), {}, on_end, kTimeout));
  }
  node.wait_request(1);
  node.say(error_without_id());
  ASSERT_TRUE(client->poll(200ms));
  EXPECT_EQ(client->n_live(), 2u);
}

TEST(ZmqClient, AnErrorWithoutAnIdAnswersTheOnlyQuestion) {
  FakeNode node(FakeNode::answer(1));
  const auto client = connect(node.endpoint());
  ASSERT_TRUE(client->generate(NodeHarness::request("known"), {}, kTimeout));
  std::atomic<bool> answered{false};
  std::thread peer([&] {
    while (!answered) {
      node.say(error_without_id());
      std::this_thread::sleep_for(2ms);
    }
  });
  const Result<wire::Models> models = client->models(kTimeout);
  answered = true;
  peer.join();
  ASSERT_FALSE(models);
  EXPECT_EQ(models.error().code, ErrorCode::kInvalidRequest);
}

TEST(ZmqClient, AMessageThatIsTooLongIsNotSent) {
  FakeNode node;
  const auto client = connect(node.endpoint());
  wire::Generate request = NodeHarness::request("long");
  request.prompt_text = std::string(wire::kMaxMessageBytes, 'x');
  const Result<wire::Done> done = client->generate(request, {}, kTimeout);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(client->n_live(), 0u);
}

TEST(ZmqClient, ARequestIsCancelledWhenItsAnswersCannotBeRead) {
  FakeNode node(FakeNode::silence());
  const auto client = connect(node.endpoint());
  std::thread peer([&] {
    node.wait_request(0);
    node.say(wire::Done{"", "length", {}});  // no reader accepts an empty id
  });
  EXPECT_FALSE(client->generate(NodeHarness::request("r"), {}, kTimeout));
  peer.join();
  EXPECT_EQ(node.wait_cancels(1), std::vector<std::string>{"r"});
  EXPECT_EQ(client->n_live(), 0u);
}

TEST(ZmqClient, TheDeadlineHoldsWhileTokensKeepComing) {
  constexpr uint32_t kTokens = 400;
  FakeNode node(FakeNode::hang_after(kTokens));
  const auto client = connect(node.endpoint());
  uint32_t n_tokens = 0;
  StreamHandlers handlers;
  handlers.on_tokens = [&](const wire::Tokens&) {
    ++n_tokens;
    std::this_thread::sleep_for(5ms);
  };
  const Result<wire::Done> done = client->generate(NodeHarness::request("r"), handlers, 200ms);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_LT(n_tokens, kTokens);
}

}  // namespace
}  // namespace lockstep
