// A node over real loopback ZeroMQ, with a null model behind the engine.
#include "tests/unit/service/node_server_support.h"

namespace lockstep::testing {
namespace {

using namespace std::chrono_literals;

TEST(NodeServer, AStreamIsAcceptedThenTokensInOrderThenDone) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  wire::Generate request = NodeHarness::request("a", 8);
  request.return_token_ids = true;
  peer.send(request);
  const std::optional<wire::Message> first = peer.receive();
  ASSERT_TRUE(first);
  const auto* accepted = std::get_if<wire::Accepted>(&*first);
  ASSERT_NE(accepted, nullptr) << wire::type_name(*first);
  EXPECT_EQ(accepted->seed, 7u);
  EXPECT_EQ(accepted->prompt_tokens, 11u);
  EXPECT_EQ(accepted->prompt_token_ids.size(), 11u);
  const Finished finished = collect(peer, "a");
  const ChoiceOutput& output = finished.choices.at(0);
  EXPECT_EQ(output.ids.size(), 8u);
  EXPECT_FALSE(output.has_gap);
  EXPECT_EQ(output.finish_reason, "length");
  EXPECT_EQ(finished.done.reason, "length");
  EXPECT_EQ(finished.done.usage.prompt_tokens, 11u);
  EXPECT_EQ(finished.done.usage.completion_tokens, 8u);
}

TEST(NodeServer, ASeedIsChosenAndReturnedWhenNoneIsGiven) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  std::set<uint64_t> seeds;
  for (const char* id : {"a", "b", "c"}) {
    wire::Generate request = NodeHarness::request(id, 1);
    request.seed.reset();
    peer.send(request);
    seeds.insert(peer.expect<wire::Accepted>().seed);
    collect(peer, id);
  }
  EXPECT_EQ(seeds.size(), 3u);
}

TEST(NodeServer, SixteenStreamsAtOnceEqualTheirSoloRuns) {
  constexpr size_t kStreams = 16;
  NodeHarness node;
  std::vector<Finished> solo(kStreams);
  std::vector<Finished> together(kStreams);
  const auto run = [&](size_t i, Finished& out) {
    WirePeer peer(node.endpoint());
    const std::string id = "stream-" + std::to_string(i);
    wire::Generate request = NodeHarness::request(id, 20 + static_cast<int64_t>(i));
    request.seed = i;
    peer.send(request);
    out = collect(peer, id);
  };
  for (size_t i = 0; i < kStreams; ++i) run(i, solo[i]);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kStreams; ++i) threads.emplace_back(run, i, std::ref(together[i]));
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < kStreams; ++i) {
    ASSERT_TRUE(together[i].choices.contains(0)) << i;
    EXPECT_EQ(together[i].choices[0].ids, solo[i].choices[0].ids) << i;
    EXPECT_EQ(together[i].choices[0].text, solo[i].choices[0].text) << i;
    EXPECT_FALSE(together[i].choices[0].has_gap);
    EXPECT_EQ(together[i].choices[0].ids.size(), 20 + i);
  }
  expect_all_blocks_back(node);
}

TEST(NodeServer, SeveralChoicesOfOneRequestComeInterleavedByIndex) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  wire::Generate request = NodeHarness::request("n", 6);
  request.n = 3;
  peer.send(request);
  const Finished finished = collect(peer, "n");
  ASSERT_EQ(finished.choices.size(), 3u);
  for (const auto& [choice, output] : finished.choices) {
    EXPECT_EQ(output.ids.size(), 6u) << choice;
    EXPECT_FALSE(output.has_gap) << choice;
    EXPECT_EQ(output.finish_reason, "length") << choice;
  }
  EXPECT_EQ(finished.done.usage.completion_tokens, 18u);
}

TEST(NodeServer, LogprobsCarryTheBytesOfEachToken) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  wire::Generate request = NodeHarness::request("l", 4);
  request.logprobs = 2;
  peer.send(request);
  const auto tokens = peer.expect<wire::Tokens>();
  ASSERT_EQ(tokens.logprobs.size(), tokens.ids.size());
  ASSERT_EQ(tokens.logprobs[0].top.size(), 2u);
  const std::string bytes(node.model().tokenizer().token_bytes(tokens.ids[0], true));
  EXPECT_EQ(tokens.logprobs[0].bytes, bytes);
  EXPECT_EQ(tokens.logprobs[0].top[0].id, tokens.ids[0]);
}

// Its bytes are told either way, but without them a reader could not tell where the text goes on.
TEST(NodeServer, LogprobsMarkControlTokens) {
  for (const auto& [sampled, is_special] :
       {std::pair{FakeTokenizer::kEnd, true}, std::pair{FakeTokenizer::kFirstWord, false}}) {
    NodeHarness node({.fixed_token = sampled});
    WirePeer peer(node.endpoint());
    wire::Generate request = NodeHarness::request("l", 4);
    request.logprobs = 0;
    peer.send(request);
    const auto tokens = peer.expect<wire::Tokens>();
    ASSERT_FALSE(tokens.logprobs.empty());
    EXPECT_EQ(tokens.logprobs[0].bytes, node.model().tokenizer().token_bytes(sampled, true));
    EXPECT_EQ(tokens.logprobs[0].special, is_special) << sampled;
  }
}

TEST(NodeServer, CancelEndsTheStreamAndFreesItsBlocks) {
  NodeHarness node({.step_time = 5ms});
  WirePeer peer(node.endpoint());
  peer.send(NodeHarness::request("c", 200));
  peer.expect<wire::Tokens>();
  EXPECT_GT(node.engine().snapshot().n_blocks_active, 0);
  peer.send(wire::Cancel{"c"});
  const auto done = peer.expect<wire::Done>();
  EXPECT_EQ(done.reason, "cancelled");
  EXPECT_LT(done.usage.completion_tokens, 200u);
  expect_all_blocks_back(node);
  peer.send(wire::Cancel{"never-existed"});
  peer.send(wire::StatusRequest{"still-here"});
  EXPECT_EQ(peer.expect<wire::Heartbeat>().request_id, "still-here");
}

TEST(NodeServer, AHeartbeatSaysWhatAStepCostsAndWhatIsAhead) {
  NodeHarness::Options options;
  options.step_time = std::chrono::milliseconds(3);
  NodeHarness node(options);
  WirePeer peer(node.endpoint());
  const auto status = [&] {
    peer.send(wire::StatusRequest{"s"});
    return peer.expect<wire::Heartbeat>();
  };
  EXPECT_EQ(status().step_times, std::nullopt);
  peer.send(NodeHarness::request("r", 40));
  collect(peer, "r");
  const std::optional<wire::StepTimes> times = status().step_times;
  ASSERT_TRUE(times);
  EXPECT_GE(times->base + times->sequence + 50 * times->context, 2.5);  // milliseconds
  EXPECT_EQ(status().n_prompt_tokens_pending, 0);
  node.executor().hold();
  wire::Generate waiting = NodeHarness::request("w", 4);
  waiting.prompt_text = std::string(100, 'x');
  peer.send(waiting);
  peer.expect<wire::Accepted>();
  const auto deadline = std::chrono::steady_clock::now() + WirePeer::kTimeout;
  while (status().n_prompt_tokens_pending != 100) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << status().n_prompt_tokens_pending;
  }
  node.executor().release();
  collect(peer, "w");
}

TEST(NodeServer, BadFramesAreAnsweredAndOtherStreamsGoOn) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  node.executor().hold();
  peer.send(NodeHarness::request("good", 30));
  peer.expect<wire::Accepted>();
  const std::vector<std::string> bad = {"",
                                        "garbage",
                                        std::string(100000, '\x91'),
                                        std::string("\xDF\xFF\xFF\xFF\xFF", 5),
                                        wire::encode(wire::Done{"x", "stop", {}}),
                                        std::string(wire::kMaxMessageBytes + 1, '\xC0')};
  for (const std::string& body : bad) {
    peer.send_raw(body);
    const auto error = peer.expect<wire::ErrorReply>();
    EXPECT_FALSE(error.message.empty());
  }
  peer.send_frames({"", wire::encode(wire::StatusRequest{"s"})});  // as a REQ socket would
  const auto framed = peer.expect<wire::ErrorReply>();
  EXPECT_NE(framed.message.find("one frame"), std::string::npos);
  EXPECT_EQ(framed.request_id, "s");
  node.executor().release();
  const Finished finished = collect(peer, "good");
  EXPECT_EQ(finished.choices.at(0).ids.size(), 30u);
  EXPECT_FALSE(finished.choices.at(0).has_gap);
}

// Otherwise its sender would wait for the request's final message.
TEST(NodeServer, AMessageThatCannotBeReadIsAnsweredUnderItsRequestId) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  wire::Generate many = NodeHarness::request("many");
  many.prompt_text.reset();
  many.prompt_ids.emplace(wire::kMaxValues, 5);
  wire::Generate large = NodeHarness::request("large");
  large.prompt_text = std::string(wire::kMaxMessageBytes, 'x');
  for (const wire::Generate& request : {many, large}) {
    peer.send(request);
    EXPECT_EQ(peer.expect<wire::ErrorReply>().request_id, request.request_id);
  }
  peer.send(wire::Done{"no question", "stop", {}});
  EXPECT_EQ(peer.expect<wire::ErrorReply>().request_id, "no question");
}

TEST(NodeServer, AnErrorMessageIsNeverAnswered) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  peer.send(wire::ErrorReply{"x", ErrorCode::kInternal, "yours", ""});
  peer.send(wire::StatusRequest{"s"});
  const std::optional<wire::Message> reply = peer.receive();
  ASSERT_TRUE(reply);
  EXPECT_TRUE(std::holds_alternative<wire::Heartbeat>(*reply)) << wire::type_name(*reply);
}

TEST(NodeServer, ALiveRequestIdIsTakenOnce) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  WirePeer other(node.endpoint());
  node.executor().hold();
  peer.send(NodeHarness::request("same", 4));
  peer.send(NodeHarness::request("same", 4));
  other.send(NodeHarness::request("same", 4));  // ids are each peer's own
  EXPECT_EQ(peer.expect<wire::ErrorReply>().code, ErrorCode::kConflict);
  node.executor().release();
  EXPECT_EQ(peer.expect<wire::Done>().reason, "length");
  EXPECT_EQ(other.expect<wire::Done>().reason, "length");
  peer.send(NodeHarness::request("same", 4));
  EXPECT_EQ(peer.expect<wire::Done>().reason, "length");
}

TEST(NodeServer, APeerThatDisappearsHasItsRequestsCancelled) {
  NodeHarness node({.step_time = 5ms});
  {
    WirePeer peer(node.endpoint());
    peer.send(NodeHarness::request("gone-1", 240));
    peer.send(NodeHarness::request("gone-2", 240));
    peer.expect<wire::Tokens>();
  }
  expect_all_blocks_back(node);
  const EngineSnapshot s = node.engine().snapshot();
  EXPECT_EQ(s.n_cancelled, 2u);
  EXPECT_NE(node.probes().text().find("outcome=\"disconnected\"} 2"), std::string::npos);
}

TEST(NodeServer, AFailingRowEndsItsOwnStreamOnly) {
  NodeHarness node({.poison_token = 'Z'});
  WirePeer peer(node.endpoint());
  WirePeer other(node.endpoint());
  wire::Generate bad = NodeHarness::request("bad", 30);
  bad.prompt_text = "Z";
  wire::Generate good = NodeHarness::request("good", 5);
  peer.send(bad);
  other.send(good);
  const Finished failed = collect(peer, "bad");
  ASSERT_TRUE(failed.error);
  EXPECT_EQ(failed.error->code, ErrorCode::kDecodeFailed);
  EXPECT_FALSE(failed.error->message.empty());
  EXPECT_FALSE(collect(other, "good").error);
}

TEST(NodeServer, DrainFinishesWhatRunsAndRefusesWhatIsNew) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  node.executor().hold();
  peer.send(NodeHarness::request("old", 20));
  peer.expect<wire::Accepted>();
  node.server().drain();
  do {
    peer.send(wire::StatusRequest{"s"});
  } while (!peer.expect<wire::Heartbeat>().draining && !HasFailure());
  peer.send(NodeHarness::request("new", 20));
  const auto refused = peer.expect<wire::ErrorReply>();
  EXPECT_EQ(refused.request_id, "new");
  EXPECT_EQ(refused.code, ErrorCode::kNoNodeReady);
  EXPECT_FALSE(node.server().drained());
  node.executor().release();
  EXPECT_EQ(collect(peer, "old").choices.at(0).ids.size(), 20u);
  const auto deadline = std::chrono::steady_clock::now() + WirePeer::kTimeout;
  while (!node.server().drained() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(2ms);
  }
  EXPECT_TRUE(node.server().drained());
}

TEST(NodeServer, AWelcomeTellsWhetherItsConnectionIsNew) {
  NodeHarness node;
  WirePeer coordinator(node.endpoint());
  coordinator.send(wire::Hello{});
  EXPECT_TRUE(coordinator.expect<wire::Welcome>().new_peer);
  coordinator.expect<wire::Heartbeat>();
  coordinator.send(wire::Hello{});
  EXPECT_FALSE(coordinator.expect<wire::Welcome>().new_peer) << "its streams go on";
}

TEST(NodeServer, CoordinatorsGetHeartbeatsAndBatches) {
  NodeHarness node;
  WirePeer coordinator(node.endpoint());
  coordinator.send(wire::Hello{});
  const auto welcome = coordinator.expect<wire::Welcome>();
  EXPECT_EQ(welcome.version, wire::kProtocolVersion);
  EXPECT_EQ(welcome.epoch, 42u);
  EXPECT_EQ(welcome.fingerprint, "f00d");
  EXPECT_EQ(welcome.models.at(0).id, "null");
  EXPECT_EQ(welcome.n_kv_blocks, 64);
  EXPECT_EQ(welcome.max_num_seqs, 16);
  EXPECT_TRUE(welcome.new_peer);
  coordinator.expect<wire::Heartbeat>();  // at once; then at intervals
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) {
    const auto heartbeat = coordinator.expect<wire::Heartbeat>();
    EXPECT_EQ(heartbeat.epoch, 42u);
    EXPECT_EQ(heartbeat.n_blocks_free, 64);
  }
  EXPECT_GT(std::chrono::steady_clock::now() - begin, 400ms);
  std::map<std::string, ChoiceOutput> outputs;
  for (const char* id : {"a", "b", "c"}) coordinator.send(NodeHarness::request(id, 10));
  for (int n_done = 0; n_done < 3;) {
    const std::optional<wire::Message> message = coordinator.receive();
    ASSERT_TRUE(message);
    EXPECT_FALSE(std::holds_alternative<wire::Tokens>(*message)) << "tokens outside a batch";
    if (const auto* batch = std::get_if<wire::TokensBatch>(&*message)) {
      for (const auto& item : batch->items) add_tokens(outputs[item.request_id], item);
    }
    n_done += std::holds_alternative<wire::Done>(*message) ? 1 : 0;
  }
  for (const char* id : {"a", "b", "c"}) {
    EXPECT_EQ(outputs[id].ids.size(), 10u) << id;
    EXPECT_FALSE(outputs[id].has_gap) << id;
  }
}

TEST(NodeServer, AHeartbeatTellsAStepThatGetsOnFromOneThatStandsStill) {
  NodeHarness node;
  WirePeer asker(node.endpoint());
  const auto status = [&] {
    asker.send(wire::StatusRequest{"s"});
    return asker.expect<wire::Heartbeat>();
  };
  const wire::Heartbeat idle = status();
  EXPECT_GT(idle.progress, 0u) << "0 = it does not say";
  EXPECT_EQ(status().progress, idle.progress);
  WirePeer peer(node.endpoint());
  node.executor().hold();
  peer.send(NodeHarness::request("r", 4));
  node.executor().wait_until_stalled();
  const wire::Heartbeat still = status();
  EXPECT_GT(still.progress, idle.progress);
  EXPECT_EQ(still.n_running + still.n_waiting, 1);
  EXPECT_EQ(status().progress, still.progress);
  ++node.executor().n_progress;
  const wire::Heartbeat moved = status();
  EXPECT_EQ(moved.progress, still.progress + 1);
  EXPECT_EQ(moved.step, still.step) << "within one step";
  node.executor().release();
  EXPECT_EQ(collect(peer, "r").choices.at(0).ids.size(), 4u);
}

TEST(NodeServer, AHelloWithoutACommonVersionIsRefused) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  peer.send(wire::Hello{{2, 3}, "coordinator"});
  const auto error = peer.expect<wire::ErrorReply>();
  EXPECT_EQ(error.code, ErrorCode::kUnsupportedParameter);
  EXPECT_EQ(error.param, "versions");
}

TEST(NodeServer, AModelNameThatIsTooLongIsNotRepeated) {
  NodeHarness node;
  WirePeer peer(node.endpoint());
  wire::Generate request = NodeHarness::request("r");
  request.model.assign(1 << 20, 'm');
  peer.send(request);
  auto error = peer.expect<wire::ErrorReply>();
  EXPECT_EQ(error.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(error.param, "model");
  EXPECT_LT(error.message.size(), 200u);
  peer.send(wire::Tokenize{"t", request.model, "x", std::nullopt, true, false});
  error = peer.expect<wire::ErrorReply>();
  EXPECT_LT(error.message.size(), 200u);
}

TEST(NodeServer, ABusyPortIsOneClearError) {
  NodeHarness node;
  NodeServerConfig config;
  config.listen = node.endpoint();
  EventMailbox mailbox(node.clock());
  const auto second = NodeServer::make(node.model(), mailbox, node.probes(), node.clock(), config);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos) << second.error().message;
  EXPECT_NE(second.error().message.find(node.endpoint()), std::string::npos);
}

TEST(NodeServer, MetricsCountWhatHappened) {
  NodeHarness node;
  node.probes().attach(
      {"null", "null", "f00d"}, [&] { return node.engine().snapshot(); }, node.ledger());
  WirePeer peer(node.endpoint());
  peer.send(NodeHarness::request("a", 5));
  collect(peer, "a");
  wire::Generate bad = NodeHarness::request("b", 5);
  bad.model = "other";
  peer.send(bad);
  peer.expect<wire::ErrorReply>();
  const std::string text = node.probes().text();
  for (const char* line :
       {"lockstep_requests_total{outcome=\"length\"} 1",
        "lockstep_requests_total{outcome=\"model_not_found\"} 1",
        "lockstep_requests_total{outcome=\"stop\"} 0",
        "lockstep_prompt_tokens_total{source=\"computed\"} 11",
        "lockstep_prompt_tokens_total{source=\"cached\"} 0",
        "lockstep_prefix_cache_lookup_tokens_total 11", "lockstep_generation_tokens_total 5",
        "lockstep_kv_blocks{tier=\"device\",state=\"free\"} 64",
        "lockstep_decode_failures_total{cause=\"nonfinite\",outcome=\"failed\"} 0",
        "lockstep_time_to_first_token_seconds_count 1", "lockstep_inter_token_seconds_count 4",
        "lockstep_memory_bytes{tag=\"kv\",", "lockstep_build_info{version="}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << " is not in\n" << text;
  }
}

}  // namespace
}  // namespace lockstep::testing
