// Forwarder: every request gets one last word, whatever nodes and clients do.
#include "coordinator/forwarder.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>

#include "common/log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/random.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

// Remembers what was sent; a node can be cut off.
class FakeLinks final : public NodeLinks {
 public:
  bool send(NodeId node, const wire::Message& message) override {
    if (cut_off.count(raw(node)) > 0) return false;
    sent.emplace_back(node, message);
    return true;
  }
  template <class M>
  std::vector<M> all() const {
    std::vector<M> out;
    for (const auto& [node, message] : sent) {
      if (const M* m = std::get_if<M>(&message)) out.push_back(*m);
    }
    return out;
  }
  NodeId last_node() const { return sent.back().first; }

  std::vector<std::pair<NodeId, wire::Message>> sent;
  std::map<uint32_t, bool> cut_off;
};

class FakeReplies final : public ReplySink {
 public:
  void deliver(wire::Message message) override { got.push_back(std::move(message)); }
  template <class M>
  std::vector<M> all() const {
    std::vector<M> out;
    for (const wire::Message& message : got) {
      if (const M* m = std::get_if<M>(&message)) out.push_back(*m);
    }
    return out;
  }
  size_t n_last_words() const {
    return all<wire::Done>().size() + all<wire::ErrorReply>().size() +
           all<wire::Tokenized>().size() + all<wire::Detokenized>().size();
  }

  std::vector<wire::Message> got;
};

class ForwarderTest : public ::testing::Test {
 protected:
  ForwarderTest() { make({}); }

  void make(ForwarderConfig config, RoutingPolicy policy = RoutingPolicy::kRoundRobin) {
    forwarder_.emplace(nodes_, Router(policy), links_, clock_, probes_, config);
  }
  void node_is_ready(uint32_t node, uint64_t epoch = 1, const std::string& model = "m") {
    wire::Welcome welcome;
    welcome.epoch = epoch;
    welcome.models = {{model, 1, 2048}};
    welcome.max_num_seqs = 4;
    nodes_.on_welcome(NodeId{node}, welcome);
  }
  // Time goes by, seen by the node table.
  void watch_nodes(milliseconds time) {
    for (; time > milliseconds{0}; time -= milliseconds{100}) {
      clock_.advance(milliseconds{100});
      nodes_.expire();
    }
  }
  wire::Generate generate(const std::string& id = "r", int64_t n = 1) {
    wire::Generate out;
    out.request_id = id;
    out.model = "m";
    out.prompt_text = "Hi";
    out.n = n;
    return out;
  }
  Client client(const std::string& key = "c") { return {key, replies_}; }
  // What the node calls the last request.
  std::string upstream() const { return links_.all<wire::Generate>().back().request_id; }
  void tokens(std::vector<int32_t> ids, uint32_t first_index, uint64_t epoch = 1,
              uint32_t choice = 0, uint32_t node = 0) {
    wire::Tokens message;
    message.request_id = upstream();
    message.choice = choice;
    message.first_index = first_index;
    message.ids = std::move(ids);
    message.text = "x";
    message.epoch = epoch;
    forwarder_->on_node_message(NodeId{node}, message);
  }
  void done() { forwarder_->on_node_message(NodeId{0}, wire::Done{upstream(), "stop", {2, 1, 1}}); }
  Error only_error() const {
    const auto errors = replies_->all<wire::ErrorReply>();
    EXPECT_EQ(errors.size(), 1u);
    return errors.empty() ? Error{} : Error{errors[0].code, errors[0].message, errors[0].param};
  }

  // The page that Prometheus would read has this line, lockstep_coordinator_ in front.
  bool page_has(const std::string& line) const {
    const std::string page = prometheus::TextSerializer().Serialize(registry_->Collect());
    return page.find("lockstep_coordinator_" + line + "\n") != std::string::npos;
  }

  testing::FakeClock clock_;
  std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  CoordinatorProbes probes_{registry_};
  NodeTable nodes_{{"tcp://a", "tcp://b"}, clock_};
  FakeLinks links_;
  std::shared_ptr<FakeReplies> replies_ = std::make_shared<FakeReplies>();
  std::optional<Forwarder> forwarder_;
};

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
  busy.n_running = 3;  // another coordinator's
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
  tokens({9}, 2, 4);  // of an older epoch
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

TEST_F(ForwarderTest, ANodesErrorIsTheLastWord) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->on_node_message(
      NodeId{0},
      wire::ErrorReply{upstream(), ErrorCode::kContextLengthExceeded, "9 > 8", "prompt"});
  EXPECT_EQ(only_error().code, ErrorCode::kContextLengthExceeded);
  EXPECT_EQ(only_error().param, "prompt");
  done();
  EXPECT_EQ(replies_->n_last_words(), 1u);
}

TEST_F(ForwarderTest, ALostNodeEndsItsStreamsAndNoOthers) {
  node_is_ready(0);
  node_is_ready(1);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  forwarder_->on_node_lost(NodeId{0});
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
  EXPECT_EQ(replies_->all<wire::ErrorReply>()[0].request_id, "a");
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
  forwarder_->check_invariants();
}

TEST_F(ForwarderTest, WhatEndedWithItsNodeIsCountedByRequest) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b", 3));
  forwarder_->submit(client(), wire::Tokenize{"t", "m", "Hi", {}, {}, {}});
  EXPECT_TRUE(page_has("requests_lost_total 0"));
  forwarder_->on_node_lost(NodeId{0});
  EXPECT_TRUE(page_has("requests_lost_total 3")) << "one for the three choices of b";
  EXPECT_TRUE(page_has("requests_total{outcome=\"decode_failed\"} 3"));
  forwarder_->on_node_lost(NodeId{0});  // dead first, then back with a new epoch
  EXPECT_TRUE(page_has("requests_lost_total 3"));
}

TEST_F(ForwarderTest, WhatEndedBeforeOrRunsElsewhereIsNotLostWithANode) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("answered"));
  done();
  forwarder_->submit(client(), generate("failed by its node"));
  forwarder_->on_node_message(NodeId{0},
                              wire::ErrorReply{upstream(), ErrorCode::kDecodeFailed, "NaN", ""});
  forwarder_->submit(client("gone"), generate("of a client that left"));
  forwarder_->drop_client("gone");
  node_is_ready(1);
  forwarder_->submit(client(), generate("on either"));
  forwarder_->submit(client(), generate("on the other"));
  forwarder_->on_node_lost(NodeId{0});
  EXPECT_TRUE(page_has("requests_lost_total 1"));
  EXPECT_TRUE(page_has("requests_total{outcome=\"decode_failed\"} 2"));
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
}

TEST_F(ForwarderTest, AZombiesTokensAreAnsweredWithCancel) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->on_node_lost(NodeId{0});
  links_.sent.erase(links_.sent.begin() + 1, links_.sent.end());
  tokens({1}, 0);
  EXPECT_EQ(links_.all<wire::Cancel>().at(0).request_id, upstream());
  EXPECT_TRUE(replies_->all<wire::Tokens>().empty());
}

TEST_F(ForwarderTest, AnotherNodeCannotSpeakForARequest) {
  node_is_ready(0);
  node_is_ready(1);
  forwarder_->submit(client(), generate());
  tokens({1}, 0, 1, 0, 1);
  forwarder_->on_node_message(NodeId{1}, wire::Done{upstream(), "stop", {}});
  EXPECT_TRUE(replies_->got.empty());
}

TEST_F(ForwarderTest, CancelReachesTheNodeAndItsAnswerTheClient) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->cancel("c", "r");
  forwarder_->cancel("c", "r");
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 1u);
  EXPECT_EQ(links_.all<wire::Cancel>()[0].request_id, upstream());
  forwarder_->on_node_message(NodeId{0}, wire::Done{upstream(), "cancelled", {}});
  EXPECT_EQ(replies_->all<wire::Done>()[0].reason, "cancelled");
}

TEST_F(ForwarderTest, CancelOfSomeoneElsesRequestDoesNothing) {
  node_is_ready(0);
  forwarder_->submit(client("c"), generate());
  forwarder_->cancel("d", "r");
  EXPECT_TRUE(links_.all<wire::Cancel>().empty());
}

TEST_F(ForwarderTest, ANodeThatIgnoresCancelDoesNotHoldTheClientUp) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->cancel("c", "r");
  clock_.advance(milliseconds(10'000));
  forwarder_->expire();
  EXPECT_EQ(only_error().code, ErrorCode::kCancelled);
}

TEST_F(ForwarderTest, AGoneClientsRequestsAreCancelledInSilence) {
  node_is_ready(0);
  forwarder_->submit(client("c"), generate("a"));
  forwarder_->submit(client("c"), generate("b"));
  forwarder_->submit(client("d"), generate("a"));
  forwarder_->drop_client("c");
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 2u);
  EXPECT_TRUE(replies_->got.empty());
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
}

TEST_F(ForwarderTest, TheDeadlineIsALastWordToo) {
  make({.request_timeout = milliseconds(5000)});
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  clock_.advance(milliseconds(4999));
  forwarder_->expire();
  EXPECT_TRUE(replies_->got.empty());
  clock_.advance(milliseconds(1));
  forwarder_->expire();
  EXPECT_EQ(only_error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 1u);
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
  watch_nodes(milliseconds(1000));  // a suspect is better than nobody
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

// 2,000 random events; in the end every request that was submitted has had exactly one last word,
// unless its client left.
TEST_F(ForwarderTest, EveryRequestGetsOneLastWord) {
  testing::SeededRandom random(20261121);
  make({.request_timeout = milliseconds(3000)});
  size_t n_submitted = 0;
  for (int i = 0; i < 2000; ++i) {
    node_is_ready(0, 1 + static_cast<uint64_t>(i / 500));
    node_is_ready(1, 1);
    const auto pick = [&] {
      const auto all = links_.all<wire::Generate>();
      return all.empty()
                 ? std::string("none")
                 : all[static_cast<size_t>(random.integer(0, static_cast<int64_t>(all.size()) - 1))]
                       .request_id;
    };
    const NodeId node{static_cast<uint32_t>(random.integer(0, 1))};
    switch (random.integer(0, 7)) {
      case 0:
      case 1:
        forwarder_->submit(client(), generate(str("r", n_submitted++), random.integer(1, 3)));
        break;
      case 2:
        forwarder_->on_node_message(node, wire::Done{pick(), "stop", {}});
        break;
      case 3: {
        wire::Tokens message;
        message.request_id = pick();
        message.choice = static_cast<uint32_t>(random.integer(0, 3));
        message.first_index = static_cast<uint32_t>(random.integer(0, 1));
        message.ids = {1};
        message.epoch = static_cast<uint64_t>(random.integer(1, 2));
        forwarder_->on_node_message(node, message);
        break;
      }
      case 4:
        forwarder_->on_node_message(node, wire::ErrorReply{pick(), ErrorCode::kInternal, "x", ""});
        break;
      case 5:
        forwarder_->cancel("c", str("r", random.integer(0, static_cast<int64_t>(n_submitted))));
        break;
      case 6:
        clock_.advance(milliseconds(random.integer(0, 200)));
        forwarder_->expire();
        break;
      default:
        if (random.chance(0.1)) forwarder_->on_node_lost(node);
    }
    forwarder_->check_invariants();
    EXPECT_EQ(replies_->n_last_words() + forwarder_->n_inflight(), n_submitted);
  }
  clock_.advance(milliseconds(10'000));
  forwarder_->expire();
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
  EXPECT_EQ(replies_->n_last_words(), n_submitted);
  std::map<std::string, int> words;
  for (const auto& done : replies_->all<wire::Done>()) ++words[done.request_id];
  for (const auto& error : replies_->all<wire::ErrorReply>()) ++words[error.request_id];
  for (const auto& [id, n] : words) EXPECT_EQ(n, 1) << id;
}

}  // namespace
}  // namespace lockstep
