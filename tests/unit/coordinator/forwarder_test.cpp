// Forwarder: the nodes that requests are sent to, and the replies under the clients' request ids.
#include "common/log.h"
#include "tests/unit/coordinator/forwarder_harness.h"

namespace lockstep::testing {
namespace {

TEST_F(ForwarderTest, ARequestGoesThereAndBackUnderItsOwnId) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  EXPECT_NE(upstream(), "r") << "two clients may use one id";
  forwarder_->on_node_message(NodeId{0}, wire::Accepted{upstream(), 5, "", {}, 2});
  tokens({7}, 0);
  tokens({8, 9}, 1);
  done();
  ASSERT_EQ(replies_->got.size(), 4u);
  EXPECT_EQ(replies_->all<wire::Accepted>()[0].request_id, "r");
  EXPECT_EQ(replies_->all<wire::Tokens>()[1].ids, (std::vector<int32_t>{8, 9}));
  EXPECT_EQ(replies_->all<wire::Done>()[0].request_id, "r");
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

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

TEST_F(ForwarderTest, TheConfiguredSeedIsEverybodysSeed) {
  make({.seed = 7});
  node_is_ready(0);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  for (const wire::Generate& sent : links_.all<wire::Generate>()) EXPECT_EQ(sent.seed, 7u);
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

TEST_F(ForwarderTest, OnlyNodesWithTheModelGetIt) {
  node_is_ready(0, 1, "other");
  node_is_ready(1, 1, "m");
  for (int i = 0; i < 3; ++i) {
    forwarder_->submit(client(), generate(std::to_string(i)));
    EXPECT_EQ(links_.last_node(), NodeId{1});
  }
}

TEST_F(ForwarderTest, ASuspectGetsWorkOnlyIfNobodyElseCan) {
  node_is_ready(0);
  watch_nodes(milliseconds(1000));
  node_is_ready(1);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  EXPECT_EQ(links_.sent.size(), 2u);
  for (const auto& [node, message] : links_.sent) EXPECT_EQ(node, NodeId{1});
  watch_nodes(milliseconds(900));
  forwarder_->submit(client(), generate("c"));
  EXPECT_EQ(links_.all<wire::Generate>().size(), 3u);
}

TEST_F(ForwarderTest, LeastLoadCountsWhatItSentSinceTheHeartbeat) {
  make({}, RoutingPolicy::kLeastLoad);
  node_is_ready(0);
  node_is_ready(1);
  wire::Heartbeat busy;
  busy.epoch = 1;
  busy.n_running = 3;  // sequences of another coordinator
  nodes_.on_heartbeat(NodeId{0}, busy);
  forwarder_->on_heartbeat(NodeId{0});
  for (int i = 0; i < 3; ++i) {
    forwarder_->submit(client(), generate(std::to_string(i)));
    EXPECT_EQ(links_.last_node(), NodeId{1});
  }
  forwarder_->submit(client(), generate("big", 2));  // 3 : 3, in turn
  EXPECT_EQ(links_.last_node(), NodeId{0});
  forwarder_->submit(client(), generate("next"));
  EXPECT_EQ(links_.last_node(), NodeId{1});
}

TEST_F(ForwarderTest, OurOwnSequencesInAHeartbeatAreNotCountedTwice) {
  make({}, RoutingPolicy::kLeastLoad);
  node_is_ready(0);
  node_is_ready(1);
  forwarder_->submit(client(), generate("a", 2));  // node 0
  wire::Heartbeat load;
  load.epoch = 1;
  load.n_running = 2;
  nodes_.on_heartbeat(NodeId{0}, load);
  forwarder_->on_heartbeat(NodeId{0});
  forwarder_->submit(client(), generate("b", 3));  // node 1
  forwarder_->submit(client(), generate("c"));     // 2 against 3
  EXPECT_EQ(links_.last_node(), NodeId{0});
}

TEST_F(ForwarderTest, DuplicatesAndZombiesAreDropped) {
  node_is_ready(0, 5);
  forwarder_->submit(client(), generate());
  tokens({1, 2}, 0, 5);
  tokens({1, 2}, 0, 5);
  tokens({2}, 1, 5);
  tokens({9}, 2, 4);  // from an older epoch
  wire::Tokens later_attempt;
  later_attempt.request_id = upstream();
  later_attempt.epoch = 5;
  later_attempt.attempt = 3;
  later_attempt.first_index = 2;
  later_attempt.ids = {9};
  forwarder_->on_node_message(NodeId{0}, later_attempt);
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 1u);
  tokens({3}, 2, 5);
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 2u);
}

TEST_F(ForwarderTest, AGapEndsTheRequestAndStopsTheNode) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  tokens({1}, 0);
  tokens({3}, 2);
  EXPECT_EQ(only_error().code, ErrorCode::kInternal);
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 1u);
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderTest, AChoiceThatDoesNotExistEndsTheRequest) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("r", 2));
  tokens({1}, 0, 1, 2);
  EXPECT_EQ(only_error().code, ErrorCode::kInternal);
}

TEST_F(ForwarderTest, ChoicesHaveTheirOwnIndex) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("r", 2));
  wire::TokensBatch batch;
  for (uint32_t choice : {0u, 1u}) {
    wire::Tokens item;
    item.request_id = upstream();
    item.choice = choice;
    item.ids = {1};
    item.epoch = 1;
    batch.items.push_back(item);
  }
  forwarder_->on_node_message(NodeId{0}, batch);
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 2u);
}

TEST_F(ForwarderTest, ANodesErrorIsTheFinalMessage) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->on_node_message(
      NodeId{0},
      wire::ErrorReply{upstream(), ErrorCode::kContextLengthExceeded, "9 > 8", "prompt"});
  EXPECT_EQ(only_error().code, ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(only_error().param, "prompt");
  done();
  EXPECT_EQ(replies_->n_final_messages(), 1u);
}

TEST_F(ForwarderTest, ResendingARunningRequestIsHarmless) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->submit(client(), generate());
  EXPECT_EQ(links_.all<wire::Generate>().size(), 1u);
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

TEST_F(ForwarderTest, AFullCoordinatorSaysSo) {
  make({.max_inflight = 1});
  node_is_ready(0);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  EXPECT_EQ(only_error().code, ErrorCode::kOverloaded);
}

TEST_F(ForwarderTest, ALinkThatTakesNothingRefusesAtOnce) {
  node_is_ready(0);
  links_.cut_off[0] = true;
  forwarder_->submit(client(), generate());
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

TEST_F(ForwarderTest, ANodeWhoseLinkTakesNothingIsPassedOver) {
  node_is_ready(0);
  watch_nodes(milliseconds(1000));  // a suspect node is better than none
  node_is_ready(1);
  links_.cut_off[1] = true;
  for (size_t i = 0; i < 2; ++i) {
    forwarder_->submit(client(), generate(str("r", i)));
    ASSERT_EQ(links_.all<wire::Generate>().size(), i + 1);
    EXPECT_EQ(links_.last_node(), NodeId{0});
  }
  EXPECT_TRUE(replies_->got.empty());
  forwarder_->check_invariants();
  tokens({1}, 0);
  EXPECT_EQ(replies_->all<wire::Tokens>().size(), 1u);
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

TEST_F(ForwarderTest, TokenizeGoesToANodeWithTheModelOrTheOnlyOne) {
  node_is_ready(0);
  wire::Tokenize request;
  request.request_id = "t";
  request.prompt = "Hi";
  forwarder_->submit(client(), request);
  const auto sent = links_.all<wire::Tokenize>();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].model, "m");
  forwarder_->on_node_message(NodeId{0}, wire::Tokenized{sent[0].request_id, {1, 2}, {}, 2048});
  ASSERT_EQ(replies_->all<wire::Tokenized>().size(), 1u);
  EXPECT_EQ(replies_->all<wire::Tokenized>()[0].request_id, "t");
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
}

}  // namespace
}  // namespace lockstep::testing
