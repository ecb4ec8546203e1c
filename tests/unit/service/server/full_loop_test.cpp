// A node whose loop has no room for a single task of another thread: whatever was accepted ends
// all the same, and what is not accepted is refused.
#include <gtest/gtest.h>

#include <atomic>
#include <zmq.hpp>

#include "tests/unit/service/node_server_support.h"
#include "wire/codec/kv_events.h"

namespace lockstep::testing {
namespace {

NodeHarness::Options no_room() {
  NodeHarness::Options options;
  options.max_tasks = 0;
  options.max_model_len = 8192;
  options.n_kv_blocks = 1024;
  options.events = true;
  return options;
}

// Long enough for the text worker's thread.
wire::Generate long_request(const std::string& id) {
  wire::Generate request = NodeHarness::request(id, 2);
  request.prompt_text = std::string(5000, 'x');
  return request;
}

TEST(FullLoop, EveryLongPromptHasItsFinalMessage) {
  NodeHarness node(no_room());
  WirePeer peer(node.endpoint());
  for (int i = 0; i < 70; ++i) {  // one after the other: more than may be open at once
    const std::string id = "r" + std::to_string(i);
    peer.send(long_request(id));
    const Finished finished = collect(peer, id);
    ASSERT_FALSE(finished.error) << finished.error->message;
    EXPECT_EQ(finished.done.usage.prompt_tokens, 5000u);
  }
  wire::Tokenize question;
  question.request_id = "t";
  question.model = "null";
  question.prompt = std::string(5000, 'x');
  peer.send(question);
  EXPECT_EQ(peer.expect<wire::Tokenized>().tokens.size(), 5000u);
}

TEST(FullLoop, VerbsOfPeersAreAnsweredAndThoseOfOtherThreadsRefused) {
  NodeHarness node(no_room());
  WirePeer peer(node.endpoint());
  for (int i = 0; i < 2; ++i) {
    peer.send(wire::SlotsRequest{"s"});
    EXPECT_EQ(peer.expect<wire::SlotList>().request_id, "s");
    wire::ClearKvCache clear;
    clear.request_id = "c";
    clear.scope = "all";
    peer.send(clear);
    EXPECT_EQ(peer.expect<wire::KvCacheCleared>().request_id, "c");
  }
  std::optional<ErrorCode> refused;
  node.server().slots(wire::SlotsRequest{"s"}, [&](const Result<wire::SlotList>& answer) {
    if (!answer) refused = answer.error().code;
  });
  EXPECT_EQ(refused, ErrorCode::kOverloaded);
}

TEST(FullLoop, VerbsThatTheEngineHasNotAnsweredAreBounded) {
  NodeHarness node;
  node.executor().hold();
  WirePeer runner(node.endpoint());
  runner.send(NodeHarness::request("r", 2));
  node.executor().wait_until_stalled();
  WirePeer peer(node.endpoint());
  constexpr int kAsked = 2 * static_cast<int>(ControlServer::kMaxOpen);
  for (int i = 0; i < kAsked; ++i) peer.send(wire::SlotsRequest{"s" + std::to_string(i)});
  int n_refused = 0, n_lists = 0;
  for (int i = 0; i < kAsked; ++i) {
    if (i == kAsked / 2) node.executor().release();  // half are refused while the step stands
    const std::optional<wire::Message> answer = peer.receive();
    ASSERT_TRUE(answer);
    n_refused += std::holds_alternative<wire::ErrorReply>(*answer) ? 1 : 0;
    n_lists += std::holds_alternative<wire::SlotList>(*answer) ? 1 : 0;
  }
  EXPECT_EQ(n_refused, kAsked / 2);
  EXPECT_EQ(n_lists, kAsked / 2);
}

TEST(FullLoop, SnapshotsOfTheCacheAreAnsweredAgainAndAgain) {
  NodeHarness node(no_room());
  zmq::context_t context;
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::rcvtimeo, 20'000);
  socket.connect(node.server().events()->replay_endpoint());
  for (int i = 0; i < 3; ++i) {
    socket.send(zmq::str_buffer(""), zmq::send_flags::sndmore);
    socket.send(zmq::str_buffer("snapshot"), zmq::send_flags::none);
    bool has_ended = false;
    while (!has_ended) {
      std::vector<std::string> frames;
      zmq::message_t frame;
      do {
        ASSERT_TRUE(socket.recv(frame)) << "no answer to snapshot " << i;
        frames.push_back(frame.to_string());
      } while (frame.more());
      has_ended = frames.size() == 4 && frames[1].empty();
    }
  }
}

TEST(FullLoop, ADrainIsNotLost) {
  NodeHarness node(no_room());
  node.server().drain();
  const auto deadline = std::chrono::steady_clock::now() + WirePeer::kTimeout;
  while (!node.server().drained() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  EXPECT_TRUE(node.server().drained());
}

}  // namespace
}  // namespace lockstep::testing
