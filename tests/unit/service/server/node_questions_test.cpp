// Questions about texts over real loopback ZeroMQ: tokenize, detokenize, and long prompts, which
// are answered beside the loop.
#include "tests/unit/service/node_server_support.h"

namespace lockstep::testing {
namespace {

using namespace std::chrono_literals;

TEST(NodeServer, QuestionsAreAnswered) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  peer.send(wire::ModelsRequest{"m"});
  const auto models = peer.expect<wire::Models>();
  EXPECT_EQ(models.models.at(0).id, "null");
  EXPECT_EQ(models.models.at(0).max_model_len, 256u);
  peer.send(wire::Tokenize{"t", "null", "h\xC3\xA9", std::nullopt, true, true});
  const auto tokenized = peer.expect<wire::Tokenized>();
  EXPECT_EQ(tokenized.tokens, (std::vector<int32_t>{'h', 0xC3, 0xA9}));
  EXPECT_EQ(tokenized.token_strs.at(1), "\xC3");
  EXPECT_EQ(tokenized.max_model_len, 256u);
  peer.send(wire::Tokenize{"t", "null", std::nullopt, {{{"user", "x", ""}}}, true, false});
  EXPECT_EQ(peer.expect<wire::Tokenized>().tokens.size(), 7u);  // "user:x\n"
  peer.send(wire::Detokenize{"d", "null", {'h', 0xC3, 0xA9, 0xC3}});
  EXPECT_EQ(peer.expect<wire::Detokenized>().prompt, "h\xC3\xA9\xEF\xBF\xBD");
  peer.send(wire::Detokenize{"d", "null", {1, 99999}});
  EXPECT_NE(peer.expect<wire::ErrorReply>().message.find("99999"), std::string::npos);
  peer.send(wire::Tokenize{"t", "other", "x", std::nullopt, true, false});
  EXPECT_EQ(peer.expect<wire::ErrorReply>().code, ErrorCode::kModelNotFound);
}

TEST(NodeServer, CoordinatorsThatAskGetTheTextModel) {
  const std::string data("\xFFno\0text", 8);
  NodeHarness node({.text_data = data});
  WirePeer coordinator(node.endpoint());
  coordinator.send(wire::DescribeText{"early"});
  EXPECT_EQ(coordinator.expect<wire::ErrorReply>().request_id, "early");
  coordinator.send(wire::Hello{});
  EXPECT_EQ(coordinator.expect<wire::Welcome>().text_fingerprint, "fake");
  coordinator.send(wire::DescribeText{"text"});
  const auto description = coordinator.expect<wire::TextDescription>();
  EXPECT_EQ(description.request_id, "text");
  EXPECT_EQ(description.text_fingerprint, "fake");
  EXPECT_EQ(description.data, data);
}

TEST(NodeServer, ANodeWithoutATextModelToPublishSaysSo) {
  NodeHarness node;
  WirePeer coordinator(node.endpoint());
  coordinator.send(wire::Hello{});
  EXPECT_EQ(coordinator.expect<wire::Welcome>().text_fingerprint, "");
  coordinator.send(wire::DescribeText{"text"});
  EXPECT_NE(coordinator.expect<wire::ErrorReply>().message.find("does not publish"),
            std::string::npos);
}

TEST(NodeServer, PromptsAreCountedByTheirForm) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  wire::Generate text = NodeHarness::request("text", 1), ids = NodeHarness::request("ids", 1),
                 chat = NodeHarness::request("chat", 1);
  ids.prompt_text.reset();
  ids.prompt_ids = {1, 2};
  chat.prompt_text.reset();
  chat.messages = {{"user", "x", ""}};
  for (const auto& request : {text, ids, chat}) {
    peer.send(request);
    peer.expect<wire::Done>();
    EXPECT_NE(
        node.probes().text().find("lockstep_prompts_total{form=\"" + request.request_id + "\"} 1"),
        std::string::npos)
        << node.probes().text();
  }
}

TEST(NodeServer, LongTextsAreTokenisedBesideTheLoop) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  peer.send(wire::Tokenize{"long", "null", std::string(1 << 18, 'x'), std::nullopt, true, false});
  EXPECT_EQ(peer.expect<wire::Tokenized>().tokens.size(), size_t{1} << 18);
  peer.send(wire::Tokenize{"long", "null", std::string(1 << 20, 'x'), std::nullopt, true, false});
  EXPECT_EQ(peer.expect<wire::ErrorReply>().code, ErrorCode::kPayloadTooLarge);
  wire::Generate request = NodeHarness::request("too-long", 5);
  request.prompt_text = std::string(1 << 16, 'x');
  peer.send(request);
  const auto error = peer.expect<wire::ErrorReply>();
  EXPECT_EQ(error.code, ErrorCode::kContextLengthExceeded);
  EXPECT_NE(error.message.find("65536"), std::string::npos) << error.message;
}

TEST(NodeServer, AChatThatIsTooLongIsRefusedBeforeItIsTokenised) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  wire::Generate request = NodeHarness::request("chat", 1);
  request.prompt_text.reset();
  request.messages = {{"user", std::string(1 << 20, 'x'), ""}};
  peer.send(request);
  const auto error = peer.expect<wire::ErrorReply>();
  EXPECT_EQ(error.code, ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(error.param, "messages");
  EXPECT_EQ(error.message,
            "the text of messages has 1048582 bytes, which are at least 1048582 tokens; the limit "
            "is 255, max_model_len less a token of output");
}

// A worker without room refuses whatever does not run on the socket's thread.
TEST(NodeServer, LongChatsAreRenderedBesideTheLoopWhateverMakesThemLong) {
  NodeHarness node({.max_long_prompts = 0});
  WirePeer peer(node.endpoint());
  const std::string big(5000, 'x');
  using Messages = std::vector<wire::ChatMessage>;
  for (const Messages& messages : {Messages{{big, "", ""}}, Messages{{"user", big, ""}},
                                   Messages{{"user", "", big}}, Messages(200, {"user", "", ""})}) {
    wire::Generate request = NodeHarness::request("chat", 1);
    request.prompt_text.reset();
    request.messages = messages;
    peer.send(request);
    const Finished refused = collect(peer, "chat");
    ASSERT_TRUE(refused.error);
    EXPECT_EQ(refused.error->code, ErrorCode::kOverloaded) << refused.error->message;
    peer.send(wire::Tokenize{"t", "null", std::nullopt, messages, true, false});
    EXPECT_EQ(peer.expect<wire::ErrorReply>().code, ErrorCode::kOverloaded);
  }
  wire::Generate request = NodeHarness::request("short", 1);
  request.prompt_text.reset();
  request.messages = {{"user", "x", ""}};
  peer.send(request);
  EXPECT_FALSE(collect(peer, "short").error);
}

TEST(NodeServer, AFloodOfLongPromptsGetsAFinalMessageEach) {
  NodeHarness node({.max_long_prompts = 2});
  WirePeer peer(node.endpoint());
  constexpr size_t kRequests = 300;
  for (size_t i = 0; i < kRequests; ++i) {
    peer.send(wire::Tokenize{"t" + std::to_string(i), "null", std::string(5000, 'x'), std::nullopt,
                             true, false});
  }
  size_t n_tokenized = 0;
  for (size_t i = 0; i < kRequests; ++i) {
    const std::optional<wire::Message> reply = peer.receive();
    ASSERT_TRUE(reply) << i;
    if (const auto* error = std::get_if<wire::ErrorReply>(&*reply)) {
      EXPECT_EQ(error->code, ErrorCode::kOverloaded);
    } else {
      ++n_tokenized;
    }
  }
  EXPECT_GT(n_tokenized, 0u);
}

TEST(NodeServer, StopsWhileLongPromptsWait) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  for (int i = 0; i < 40; ++i) {
    peer.send(wire::Tokenize{std::to_string(i), "null", std::string(1 << 18, 'x'), std::nullopt,
                             true, false});
  }
  peer.receive();  // at least one has been handled; the rest is cut off
}

}  // namespace
}  // namespace lockstep::testing
