// Control verbs over real loopback ZeroMQ: the cache is emptied, slots and switches are told.
#include <future>

#include "tests/unit/service/node_server_support.h"

namespace lockstep::testing {
namespace {

using namespace std::chrono_literals;

// The answer to a control verb.
template <class Answer>
Answer ask(WirePeer& peer, const wire::Message& verb) {
  peer.send(verb);
  const std::optional<wire::Message> message = peer.receive();
  if (message && std::holds_alternative<Answer>(*message)) return std::get<Answer>(*message);
  ADD_FAILURE() << "another answer, or none";
  return {};
}

TEST(NodeServer, ClearedBlocksAreCountedAndTheNextPromptIsComputed) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  wire::Generate request = NodeHarness::request("a", 8);
  request.prompt_text = std::string(100, 'x');
  peer.send(request);
  collect(peer, "a");
  expect_all_blocks_back(node);
  const int64_t n_cached = node.engine().snapshot().n_blocks_cached;
  EXPECT_GE(n_cached, 6);
  wire::ClearKvCache clear{
      .request_id = "c", .scope = "model", .model = "null", .tenant = {}, .cache_salt = {}};
  const auto cleared = ask<wire::KvCacheCleared>(peer, clear);
  EXPECT_EQ(cleared.request_id, "c");
  EXPECT_EQ(cleared.n_cleared, n_cached);
  EXPECT_EQ(cleared.n_busy, 0);
  request.request_id = "b";
  peer.send(request);
  EXPECT_EQ(collect(peer, "b").done.usage.cached_tokens, 0u);
}

TEST(NodeServer, WhatAClearCannotMeanIsRefusedByField) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  wire::ClearKvCache clear;
  clear.request_id = "c";
  clear.scope = "everything";
  EXPECT_EQ(ask<wire::ErrorReply>(peer, clear).param, "scope");
  clear.scope = "model";
  clear.model = "other";
  EXPECT_EQ(ask<wire::ErrorReply>(peer, clear).code, ErrorCode::kModelNotFound);
  clear.scope = "tenant";
  clear.tenant = "gold";
  EXPECT_EQ(ask<wire::ErrorReply>(peer, clear).param, "tenant");
}

TEST(NodeServer, SlotsHaveTheNamesThatPeersGaveThem) {
  NodeHarness::Options options;
  options.step_time = 5ms;
  NodeHarness node(options);
  WirePeer runner(node.endpoint()), watcher(node.endpoint());
  runner.send(NodeHarness::request("runs", 100));
  runner.receive();  // accepted
  runner.receive();  // a token
  const auto list = ask<wire::SlotList>(watcher, wire::SlotsRequest{"s"});
  EXPECT_EQ(list.request_id, "s");
  ASSERT_EQ(list.slots.size(), 1u);
  EXPECT_EQ(list.slots[0].request_id, "runs");
  EXPECT_EQ(list.slots[0].state, "decoding");
  EXPECT_GE(list.slots[0].output_tokens, 1u);
  EXPECT_GE(list.slots[0].n_blocks, 1);
  std::promise<Result<wire::KvCacheCleared>> answer;
  node.server().clear(
      {.request_id = "c", .scope = "all", .model = {}, .tenant = {}, .cache_salt = {}},
      [&](Result<wire::KvCacheCleared> result) { answer.set_value(std::move(result)); });
  const Result<wire::KvCacheCleared> cleared = answer.get_future().get();
  ASSERT_TRUE(cleared);
  ASSERT_EQ(cleared->busy.size(), 1u);
  EXPECT_EQ(cleared->busy[0].request_id, "runs");
  EXPECT_GE(cleared->n_busy, 1);
}

TEST(NodeServer, ADescriptionIsWhatTheNodeWasBuiltWith) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  const auto description = ask<wire::Description>(peer, wire::DescribeRequest{"d"});
  EXPECT_EQ(description.request_id, "d");
  ASSERT_EQ(description.nodes.size(), 1u);
}

}  // namespace
}  // namespace lockstep::testing
