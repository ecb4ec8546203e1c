// ZeroMQ clients of a coordinator, against fake nodes that also stop and restart.
#include <gtest/gtest.h>

#include "tests/support/coordinator_harness.h"
#include "tests/support/wire_peer.h"

namespace lockstep {
namespace {

using testing::CoordinatorHarness;
using testing::FakeNode;
using testing::WirePeer;

wire::Generate generate(const std::string& id) {
  wire::Generate out;
  out.request_id = id;
  out.model = "tiny";
  out.prompt_text = "Hi";
  return out;
}

TEST(ZmqClients, AShutdownIsTheFinalMessageOfWhatStillRuns) {
  FakeNode node(FakeNode::hang_after(1));
  CoordinatorHarness coordinator({&node});
  WirePeer client(coordinator.app().zmq_endpoint());
  client.send(generate("mine"));
  client.expect<wire::Accepted>();
  client.expect<wire::Tokens>();
  EXPECT_FALSE(coordinator.app().drain(std::chrono::seconds(20), [] { return true; }));
  const auto last = client.expect<wire::ErrorReply>();
  EXPECT_EQ(last.request_id, "mine");
  EXPECT_EQ(last.code, ErrorCode::kNoNodeReady) << "not the client's doing: it may try again";
  EXPECT_EQ(node.wait_cancels(1).size(), 1u);
}

TEST(ZmqClients, AStreamComesUnderTheClientsId) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  WirePeer client(coordinator.app().zmq_endpoint());
  client.send(generate("mine"));
  EXPECT_EQ(client.expect<wire::Accepted>().request_id, "mine");
  testing::ChoiceOutput output;
  for (int i = 0; i < 3; ++i) add_tokens(output, client.expect<wire::Tokens>());
  EXPECT_EQ(output.text, "t0 t1 t2 ");
  EXPECT_FALSE(output.has_gap);
  const wire::Done done = client.expect<wire::Done>();
  EXPECT_EQ(done.request_id, "mine");
  EXPECT_EQ(done.usage.completion_tokens, 3u);
}

TEST(ZmqClients, TwoClientsMayUseOneId) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  WirePeer a(coordinator.app().zmq_endpoint()), b(coordinator.app().zmq_endpoint());
  a.send(generate("same"));
  b.send(generate("same"));
  EXPECT_EQ(a.expect<wire::Done>().request_id, "same");
  EXPECT_EQ(b.expect<wire::Done>().request_id, "same");
}

TEST(ZmqClients, CancelEndsTheStream) {
  FakeNode node(FakeNode::hang_after(1));
  CoordinatorHarness coordinator({&node});
  WirePeer client(coordinator.app().zmq_endpoint());
  client.send(generate("r"));
  client.expect<wire::Tokens>();
  client.send(wire::Cancel{"r"});
  EXPECT_EQ(client.expect<wire::Done>().reason, "cancelled");
  EXPECT_EQ(node.n_cancels(), 1u);
}

TEST(ZmqClients, AClientThatLeavesIsCancelledAtItsNextToken) {
  FakeNode node(FakeNode::hang_after(1));
  CoordinatorHarness coordinator({&node});
  wire::Generate request;
  {
    WirePeer client(coordinator.app().zmq_endpoint());
    client.send(generate("r"));
    request = node.wait_request(0);
    client.expect<wire::Tokens>();
  }
  // The coordinator detects the end of the connection a moment later.
  for (uint32_t i = 1; node.n_cancels() == 0 && i < 200; ++i) {
    node.say(FakeNode::piece(request, 0, i));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_GE(node.n_cancels(), 1u);
}

TEST(ZmqClients, BadMessagesAreAnsweredAndTheOthersGoOn) {
  FakeNode node(FakeNode::hang_after(1));
  CoordinatorHarness coordinator({&node});
  WirePeer client(coordinator.app().zmq_endpoint());
  client.send(generate("r"));
  client.expect<wire::Tokens>();
  const wire::Generate upstream = node.wait_request(0);
  for (const std::string& bytes : {std::string(), std::string("\xc1"), std::string(40'000, '\x91'),
                                   std::string((16u << 20) + 1, '\xc0')}) {
    client.send_raw(bytes);
    EXPECT_EQ(client.expect<wire::ErrorReply>().request_id, "");
  }
  client.send_frames({"", wire::encode(generate("framed"))});
  EXPECT_EQ(client.expect<wire::ErrorReply>().code, ErrorCode::kInvalidRequest);
  client.send(wire::Done{"r", "stop", {}});
  EXPECT_EQ(client.expect<wire::ErrorReply>().param, "type");
  node.say(wire::Done{upstream.request_id, "stop", {1, 0, 1}});
  EXPECT_EQ(client.expect<wire::Done>().request_id, "r");
}

TEST(ZmqClients, ADescriptionIsWhatEachNodeSaidOfItself) {
  FakeNode first, second;
  CoordinatorHarness coordinator({&first, &second});
  WirePeer client(coordinator.app().zmq_endpoint());
  client.send(wire::DescribeRequest{"d"});
  const auto description = client.expect<wire::Description>();
  EXPECT_EQ(description.request_id, "d");
  ASSERT_EQ(description.nodes.size(), 2u);
  EXPECT_NE(description.nodes[0].endpoint, description.nodes[1].endpoint);
  for (const wire::NodeDescription& node : description.nodes) {
    ASSERT_EQ(node.settings.size(), 1u);
    EXPECT_EQ(node.settings[0].name, "block_size");
    EXPECT_EQ(node.state, "ready");
  }
}

TEST(ZmqClients, QuestionsAboutTheClusterAreAnswered) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  WirePeer client(coordinator.app().zmq_endpoint());
  client.send(wire::Hello{{1}, "client"});
  EXPECT_EQ(client.expect<wire::Welcome>().models.at(0).id, "tiny");
  client.send(wire::Hello{{2, 3}, "client"});
  EXPECT_EQ(client.expect<wire::ErrorReply>().code, ErrorCode::kUnsupportedParameter);
  client.send(wire::ModelsRequest{"q1"});
  EXPECT_EQ(client.expect<wire::Models>().models.at(0).max_model_len, 2048u);
  client.send(wire::StatusRequest{"q2"});
  const auto status = client.expect<wire::ClusterStatus>();
  EXPECT_EQ(status.request_id, "q2");
  ASSERT_EQ(status.nodes.size(), 1u);
  EXPECT_EQ(status.nodes[0].state, "ready");
  EXPECT_EQ(status.nodes[0].endpoint, node.endpoint());
  wire::Tokenize question;
  question.request_id = "q3";
  question.model = "tiny";
  question.prompt = "AB";
  client.send(question);
  EXPECT_EQ(client.expect<wire::Tokenized>().tokens, (std::vector<int32_t>{65, 66}));
}

TEST(ZmqClients, RequestsSpreadOverTheNodes) {
  FakeNode first, second;
  CoordinatorHarness coordinator({&first, &second}, testing::in_turn());
  WirePeer client(coordinator.app().zmq_endpoint());
  for (int i = 0; i < 4; ++i) client.send(generate(std::to_string(i)));
  for (int i = 0; i < 4; ++i) client.expect<wire::Done>();
  first.wait_request(1);
  second.wait_request(1);
}

// A node that is killed is noticed by its connection: long before the time that a silent node has.
TEST(ZmqClients, ADeadNodesStreamsContinueAtAnotherWhileTheOthersGoOn) {
  FakeNode dying(FakeNode::hang_after(1)), living(FakeNode::hang_after(1));
  CoordinatorConfig config;
  config.node_suspect_ms = 300'000;
  config.node_dead_ms = 600'000;
  CoordinatorHarness coordinator({&dying, &living}, testing::in_turn(config));
  WirePeer client(coordinator.app().zmq_endpoint());
  client.send(generate("a"));
  client.send(generate("b"));
  for (int i = 0; i < 2; ++i) client.expect<wire::Tokens>();
  dying.die();
  const auto resumed = client.expect<wire::Tokens>();
  EXPECT_EQ(resumed.first_index, 1u);
  EXPECT_EQ(resumed.attempt, 1u);
  EXPECT_EQ(living.wait_request(1).emitted, (std::vector<wire::EmittedChoice>{{{0}, {}, {}}}));
  for (size_t i : {0, 1})
    living.say(wire::Done{living.wait_request(i).request_id, "stop", {1, 0, 1}});
  for (int i = 0; i < 2; ++i) client.expect<wire::Done>();
}

TEST(ZmqClients, AStreamWithoutAnotherNodeEndsAfterItsTime) {
  FakeNode dying(FakeNode::hang_after(1));
  CoordinatorConfig config;
  config.resume_timeout_ms = 100;
  CoordinatorHarness coordinator({&dying}, config);
  WirePeer client(coordinator.app().zmq_endpoint());
  client.send(generate("a"));
  client.expect<wire::Tokens>();
  dying.die();
  EXPECT_EQ(client.expect<wire::ErrorReply>().code, ErrorCode::kDecodeFailed);
}

TEST(ZmqClients, OnlyACoordinatorSaysWhatWasEmitted) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  WirePeer client(coordinator.app().zmq_endpoint());
  wire::Generate request = generate("a");
  request.emitted = {{{1}, {}, {}}};
  client.send(request);
  EXPECT_EQ(client.expect<wire::ErrorReply>().param, "emitted");
}

}  // namespace
}  // namespace lockstep
