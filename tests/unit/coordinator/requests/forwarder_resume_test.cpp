// Forwarder: a stream that loses its node continues at another one, and its client notices nothing.
#include "common/log.h"
#include "tests/unit/coordinator/forwarder_harness.h"

namespace lockstep::testing {
namespace {

class ForwarderResumeTest : public ForwarderTest {
 protected:
  ForwarderResumeTest() {
    make({.queue_timeout = milliseconds{2000}, .resume_timeout = milliseconds{5000}});
    for (uint32_t node : {0, 1, 2}) node_is_ready(node);
  }
  void accept(uint32_t node) {
    forwarder_->on_node_message(NodeId{node}, wire::Accepted{upstream(), 5, "", {}, 2});
  }
  // Tokens of the last attempt.
  void output(uint32_t node, std::vector<int32_t> ids, uint32_t first_index, uint32_t choice = 0,
              std::optional<std::string> finish_reason = std::nullopt) {
    const wire::Generate sent = links_.all<wire::Generate>().back();
    output_of(sent, node, std::move(ids), first_index, choice, std::move(finish_reason));
  }
  void output_of(const wire::Generate& attempt, uint32_t node, std::vector<int32_t> ids,
                 uint32_t first_index, uint32_t choice = 0,
                 std::optional<std::string> finish_reason = std::nullopt) {
    wire::Tokens message;
    message.request_id = attempt.request_id;
    message.attempt = attempt.attempt;
    message.epoch = nodes_.node(NodeId{node}).welcome->epoch;
    message.choice = choice;
    message.first_index = first_index;
    message.ids = std::move(ids);
    message.text = "x";
    message.finish_reason = std::move(finish_reason);
    forwarder_->on_node_message(NodeId{node}, message);
  }
  void lose(uint32_t node) {
    nodes_.on_disconnected(NodeId{node});
    forwarder_->on_node_lost(NodeId{node});
  }
  void beat(uint32_t node, bool draining) {
    wire::Heartbeat heartbeat;
    heartbeat.epoch = nodes_.node(NodeId{node}).welcome->epoch;
    heartbeat.draining = draining;
    nodes_.on_heartbeat(NodeId{node}, heartbeat);
    forwarder_->on_heartbeat(NodeId{node});
  }
  void pass(milliseconds time) {
    for (; time > milliseconds{0}; time -= milliseconds{25}) {
      clock_.advance(milliseconds{25});
      forwarder_->tick();
    }
  }
  // The ids that the client received of a choice, each index exactly once.
  std::vector<int32_t> received(uint32_t choice = 0) const {
    std::vector<int32_t> ids;
    for (const wire::Tokens& tokens : replies_->all<wire::Tokens>()) {
      if (tokens.choice != choice) continue;
      EXPECT_EQ(tokens.first_index, ids.size());
      ids.insert(ids.end(), tokens.ids.begin(), tokens.ids.end());
    }
    return ids;
  }
  bool page_line(const std::string& line) const {
    const std::string page = prometheus::TextSerializer().Serialize(registry_->Collect());
    return page.find("\n" + line + "\n") != std::string::npos;
  }
};

TEST_F(ForwarderResumeTest, AStreamContinuesAtAnotherNodeBehindWhatItsClientHas) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7, 8}, 0);
  lose(0);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  const auto sent = links_.all<wire::Generate>();
  EXPECT_EQ(sent[0].attempt, 0u);
  EXPECT_TRUE(sent[0].emitted.empty());
  EXPECT_EQ(sent[1].attempt, 1u);
  EXPECT_EQ(sent[1].seed, sent[0].seed);
  EXPECT_EQ(sent[1].emitted, (std::vector<wire::EmittedChoice>{{{7, 8}, {}, {}}}));
  EXPECT_NE(sent[1].request_id, sent[0].request_id) << "messages of the two must not be mixed up";
  EXPECT_TRUE(page_has("requests{state=\"resuming\"} 1"));
  accept(1);
  output(1, {9}, 2);
  forwarder_->on_node_message(NodeId{1}, wire::Done{upstream(), "stop", {2, 0, 3}});
  EXPECT_EQ(received(), (std::vector<int32_t>{7, 8, 9}));
  EXPECT_EQ(replies_->all<wire::Accepted>().size(), 1u);
  EXPECT_EQ(replies_->n_final_messages(), 1u);
  EXPECT_TRUE(page_line("lockstep_stream_resumes_total{cause=\"lost\",outcome=\"resumed\"} 1"));
  EXPECT_TRUE(page_line("lockstep_wasted_tokens_total{cause=\"replay\"} 2"));
  EXPECT_TRUE(page_has("requests{state=\"resuming\"} 0"));
  EXPECT_TRUE(page_has("requests_lost_total 0"));
}

TEST_F(ForwarderResumeTest, TheNextNodeGetsTheLimitThatTheFirstOneSet) {
  forwarder_->submit(client(), generate());
  wire::Accepted accepted{upstream(), 5, "", {}, 2};
  accepted.max_tokens = 30;
  forwarder_->on_node_message(NodeId{0}, accepted);
  output(0, {7}, 0);
  lose(0);
  EXPECT_EQ(links_.all<wire::Generate>()[0].max_tokens, std::nullopt);
  EXPECT_EQ(links_.all<wire::Generate>()[1].max_tokens, 30);
  forwarder_->submit(client(), generate());  // resent by its client
  EXPECT_EQ(replies_->n_final_messages(), 0u);
}

TEST_F(ForwarderResumeTest, TheNodeThatWasGivenUpIsCancelledAndItsTokensAreDropped) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  const wire::Generate first = links_.all<wire::Generate>()[0];
  lose(0);
  node_is_ready(0);  // it was only cut off
  const size_t n_cancels = links_.all<wire::Cancel>().size();
  output_of(first, 0, {8, 9}, 1);
  EXPECT_EQ(received(), std::vector<int32_t>{7});
  EXPECT_EQ(links_.all<wire::Cancel>().size(), n_cancels + 1);
  EXPECT_EQ(links_.all<wire::Cancel>().back().request_id, first.request_id);
  EXPECT_TRUE(page_line("lockstep_wasted_tokens_total{cause=\"zombie\"} 2"));
  // Nor does its final message end the request.
  forwarder_->on_node_message(NodeId{0}, wire::Done{first.request_id, "stop", {2, 0, 3}});
  forwarder_->on_node_message(NodeId{0},
                              wire::ErrorReply{first.request_id, ErrorCode::kInternal, "no", ""});
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
}

TEST_F(ForwarderResumeTest, WithoutANodeItWaitsForOneThatRestarts) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  links_.cut_off[1] = links_.cut_off[2] = true;
  lose(0);
  pass(milliseconds{4000});
  EXPECT_EQ(nodes_asked().size(), 1u);
  EXPECT_TRUE(page_has("requests{state=\"resuming\"} 1"));
  node_is_ready(0, /*epoch=*/2);
  pass(milliseconds{200});
  ASSERT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 0}));
  accept(0);
  output(0, {8}, 1);
  EXPECT_EQ(received(), (std::vector<int32_t>{7, 8}));
  pass(milliseconds{10'000});
  EXPECT_EQ(forwarder_->n_inflight(), 1u) << "the limit holds while it has no node";
}

TEST_F(ForwarderResumeTest, NodesOfAnotherFingerprintDoNotContinueIt) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  node_is_ready(1, 2, "m", "other");
  node_is_ready(2, 2, "m", "other");
  lose(0);
  pass(milliseconds{5000});
  EXPECT_EQ(nodes_asked().size(), 1u);
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
  EXPECT_NE(only_error().message.find("within 5 seconds"), std::string::npos);
  EXPECT_TRUE(page_line("lockstep_stream_resumes_total{cause=\"lost\",outcome=\"failed\"} 1"));
  EXPECT_TRUE(page_has("requests_lost_total 1"));
}

TEST_F(ForwarderResumeTest, ARequestThatNoLinkTakesIsQueued) {
  for (uint32_t node : {0, 1, 2}) links_.cut_off[node] = true;
  forwarder_->submit(client(), generate("late"));
  forwarder_->submit(client(), generate("never"));
  EXPECT_TRUE(page_has("requests{state=\"queued\"} 2"));
  forwarder_->cancel("c", "late");
  EXPECT_EQ(only_error().code, ErrorCode::kCancelled);
  replies_->got.clear();
  pass(milliseconds{2000});
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
  forwarder_->submit(client(), generate("soon"));
  links_.cut_off.clear();
  pass(milliseconds{200});
  EXPECT_EQ(nodes_asked().size(), 1u);
}

TEST_F(ForwarderResumeTest, StreamsLeaveANodeThatDrains) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  const wire::Generate first = links_.all<wire::Generate>()[0];
  beat(0, /*draining=*/true);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(links_.all<wire::Cancel>()[0].request_id, first.request_id);
  output_of(first, 0, {8}, 1);  // sent before the cancel arrived
  accept(1);
  output(1, {8}, 1);
  EXPECT_EQ(received(), (std::vector<int32_t>{7, 8}));
  EXPECT_TRUE(page_line("lockstep_stream_resumes_total{cause=\"drain\",outcome=\"resumed\"} 1"));
}

TEST_F(ForwarderResumeTest, WithoutAnotherNodeADrainingOneFinishesIts) {
  links_.cut_off[1] = links_.cut_off[2] = true;
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  beat(0, true);
  EXPECT_TRUE(links_.all<wire::Cancel>().empty());
  output(0, {8}, 1);
  EXPECT_EQ(received(), (std::vector<int32_t>{7, 8}));
  links_.cut_off.clear();
  beat(0, true);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1})) << "as soon as there is one";
}

TEST_F(ForwarderResumeTest, DrainsAreNotHeldAgainstARequest) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  for (uint64_t epoch = 2; epoch < 6; ++epoch) {
    for (uint32_t node : {0, 1, 2}) {
      if (links_.last_node() != NodeId{node} && nodes_asked().back() != node) continue;
      beat(node, true);
      accept(nodes_asked().back());
      node_is_ready(node, epoch);
    }
  }
  EXPECT_GE(nodes_asked().size(), 5u);
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
}

TEST_F(ForwarderResumeTest, StreamsLeaveAStalledNode) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  wire::Heartbeat still;
  still.epoch = 1;
  still.n_running = 1;
  still.progress = 5;
  for (int i = 0; i < 20; ++i) {
    nodes_.on_heartbeat(NodeId{0}, still);
    forwarder_->on_heartbeat(NodeId{0});
  }
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  accept(1);
  output(1, {8}, 1);
  EXPECT_TRUE(page_line("lockstep_stream_resumes_total{cause=\"stall\",outcome=\"resumed\"} 1"));
}

TEST_F(ForwarderResumeTest, AGapContinuesElsewhere) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  output(0, {9}, 2);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  accept(1);
  output(1, {8, 9}, 1);
  EXPECT_EQ(received(), (std::vector<int32_t>{7, 8, 9}));
  EXPECT_TRUE(page_line("lockstep_stream_resumes_total{cause=\"gap\",outcome=\"resumed\"} 1"));
}

TEST_F(ForwarderResumeTest, AnEndBeforeTheLastOutputsIsAGap) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  forwarder_->on_node_message(NodeId{0}, wire::Done{upstream(), "length", {2, 0, 2}});
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  accept(1);
  output(1, {8}, 1, 0, "length");
  forwarder_->on_node_message(NodeId{1}, wire::Done{upstream(), "length", {2, 0, 2}});
  EXPECT_EQ(received(), (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(replies_->all<wire::Done>().size(), 1u);
}

TEST_F(ForwarderResumeTest, APoisonPromptTakesTwoNodesAtMost) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  lose(0);
  accept(1);
  output(1, {8}, 1);
  lose(1);
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
  EXPECT_EQ(only_error().message, "2 nodes that ran this request were lost");
}

// A step gives an output of each choice, so many choices are no progress.
TEST_F(ForwarderResumeTest, APoisonPromptWithManyChoicesTakesTwoNodesAtMost) {
  forwarder_->submit(client(), generate("r", 20));
  for (uint32_t node : {0u, 1u}) {
    accept(node);
    for (uint32_t choice = 0; choice < 20; ++choice) output(node, {7}, node, choice);
    lose(node);
  }
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
}

// It was cut off or stopped for a while, so the request did not kill it.
TEST_F(ForwarderResumeTest, ANodeThatComesBackAsTheSameProcessIsNoDeath) {
  forwarder_->submit(client(), generate());
  accept(0);
  lose(0);
  node_is_ready(0, 1);
  forwarder_->on_node_present(NodeId{0});
  accept(1);
  lose(1);
  EXPECT_EQ(nodes_asked().size(), 3u);
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
}

TEST_F(ForwarderResumeTest, ANodeThatComesBackAsAnotherProcessWasADeath) {
  forwarder_->submit(client(), generate());
  accept(0);
  lose(0);
  node_is_ready(0, 2);
  forwarder_->on_node_present(NodeId{0});
  accept(1);
  lose(1);
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
}

TEST_F(ForwarderResumeTest, ALostMessageIsNoDeath) {
  forwarder_->submit(client(), generate());
  for (int i = 0; i < 5; ++i) {
    const uint32_t node = nodes_asked().back();
    accept(node);
    output(node, {7}, 5);                                // five are missing
    node_is_ready(node, 10 + static_cast<uint64_t>(i));  // so that it is a candidate again
  }
  EXPECT_EQ(nodes_asked().size(), 6u);
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
}

TEST_F(ForwarderResumeTest, AStreamThatMovesOnBetweenDeathsIsNoPoison) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {0}, 0);
  std::vector<int32_t> eight(8);
  uint32_t n_sent = 1;
  for (uint32_t epoch = 2; epoch < 8; ++epoch) {
    const uint32_t node = nodes_asked().back();
    lose(node);
    node_is_ready(node, epoch);
    accept(nodes_asked().back());
    output(nodes_asked().back(), eight, n_sent);
    n_sent += 8;
  }
  EXPECT_EQ(received().size(), n_sent);
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
}

TEST_F(ForwarderResumeTest, ANodeThatRefusesAStreamIsAskedAgainLater) {
  links_.cut_off[2] = true;
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  lose(0);
  error(1, ErrorCode::kOverloaded);
  EXPECT_EQ(replies_->n_final_messages(), 0u) << "a stream waits for room";
  pass(milliseconds{200});
  EXPECT_EQ(nodes_asked(), (std::vector<uint32_t>{0, 1, 1}));
  accept(1);
  output(1, {8}, 1);
  EXPECT_EQ(received(), (std::vector<int32_t>{7, 8}));
}

TEST_F(ForwarderResumeTest, EveryChoiceContinuesFromItsOwnPosition) {
  forwarder_->submit(client(), generate("r", 3));
  accept(0);
  output(0, {1, 2}, 0, 0);
  output(0, {3}, 0, 1, "stop");
  lose(0);
  EXPECT_EQ(links_.all<wire::Generate>().back().emitted,
            (std::vector<wire::EmittedChoice>{{{1, 2}, {}, {}}, {{3}, "stop", {}}, {{}, {}, {}}}));
}

TEST_F(ForwarderResumeTest, AStreamThatMissesOnlyItsFinalMessageIsNotRunAgain) {
  forwarder_->submit(client(), generate("r", 2));
  accept(0);
  output(0, {1, 2}, 0, 0, "length");
  output(0, {3}, 0, 1, "stop");
  lose(0);
  EXPECT_EQ(nodes_asked().size(), 1u);
  ASSERT_EQ(replies_->all<wire::Done>().size(), 1u);
  const wire::Done done = replies_->all<wire::Done>()[0];
  EXPECT_EQ(done.reason, "length");
  EXPECT_EQ(done.usage.prompt_tokens, 2u);
  EXPECT_EQ(done.usage.completion_tokens, 3u);
}

TEST_F(ForwarderResumeTest, ACancelledStreamThatLosesItsNodeIsCancelled) {
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  forwarder_->cancel("c", "r");
  lose(0);
  EXPECT_EQ(only_error().code, ErrorCode::kCancelled);
  EXPECT_EQ(nodes_asked().size(), 1u);
}

TEST_F(ForwarderResumeTest, AClientThatLeavesMeanwhileEndsIt) {
  links_.cut_off[1] = links_.cut_off[2] = true;
  forwarder_->submit(client(), generate());
  accept(0);
  output(0, {7}, 0);
  lose(0);
  forwarder_->drop_client("c");
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
  EXPECT_TRUE(page_line("lockstep_stream_resumes_total{cause=\"lost\",outcome=\"abandoned\"} 1"));
  EXPECT_TRUE(page_has("requests{state=\"resuming\"} 0"));
}

TEST_F(ForwarderResumeTest, WhatAClientHadBeforeIsNotDeliveredAgain) {
  wire::Generate request = generate();
  request.emitted = {{{}, {}, 2}};
  forwarder_->submit(client(), request);
  EXPECT_TRUE(links_.all<wire::Generate>()[0].emitted.empty()) << "the node samples them again";
  accept(0);
  output(0, {7}, 0);
  lose(0);
  EXPECT_EQ(links_.all<wire::Generate>()[1].emitted[0], (wire::EmittedChoice{{7}, {}, {}}));
  accept(1);
  output(1, {8}, 1);
  output(1, {9}, 2);
  ASSERT_EQ(replies_->all<wire::Tokens>().size(), 1u);
  EXPECT_EQ(replies_->all<wire::Tokens>()[0].first_index, 2u);
  EXPECT_TRUE(page_line("lockstep_wasted_tokens_total{cause=\"attach\"} 2"));
}

}  // namespace
}  // namespace lockstep::testing
