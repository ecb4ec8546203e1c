// NodeTable: the states of nodes, by a clock that the test advances.
#include "coordinator/cluster/node_table.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/fake_clock.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using Change = NodeTable::Change;

wire::Welcome welcome(uint64_t epoch, const std::string& model = "m") {
  wire::Welcome out;
  out.epoch = epoch;
  out.models = {{model, 1, 2048}};
  out.max_num_seqs = 4;
  return out;
}
wire::Heartbeat heartbeat(uint64_t epoch, bool draining = false) {
  wire::Heartbeat out;
  out.epoch = epoch;
  out.n_running = 3;
  out.draining = draining;
  return out;
}

class NodeTableTest : public ::testing::Test {
 protected:
  NodeState state(NodeId id = NodeId{0}) const { return table_.node(id).state; }
  // Advances the clock in small steps and calls expire() after each, as ZmqFrontend does. Returns
  // the nodes that became dead.
  std::vector<NodeId> watch(milliseconds time) {
    constexpr milliseconds kTick{25};
    std::vector<NodeId> died;
    for (; time > milliseconds{0}; time -= kTick) {
      clock_.advance(std::min(time, kTick));
      for (NodeId id : table_.expire()) died.push_back(id);
    }
    return died;
  }

  // A heartbeat of epoch 7 with this much work and progress.
  Change beat(int64_t n_running, uint64_t progress, uint64_t step = 1) {
    wire::Heartbeat out;
    out.epoch = 7;
    out.n_running = n_running;
    out.progress = progress;
    out.step = step;
    return table_.on_heartbeat(a_, out);
  }
  // Returns the change of the last of `n` equal heartbeats.
  Change beats(int n, int64_t n_running, uint64_t progress, uint64_t step = 1) {
    Change last = Change::kNone;
    for (int i = 0; i < n; ++i) last = beat(n_running, progress, step);
    return last;
  }

  testing::FakeClock clock_;
  NodeTable table_{{"tcp://a", "tcp://b"}, clock_};
  const NodeId a_{0}, b_{1};
};

TEST_F(NodeTableTest, ANodeIsReadyOnceItSaidWelcome) {
  EXPECT_EQ(state(), NodeState::kConnecting);
  EXPECT_FALSE(table_.knows_model("m"));
  EXPECT_EQ(table_.default_model(), nullptr);
  EXPECT_EQ(table_.on_welcome(a_, welcome(7)), Change::kReady);
  EXPECT_EQ(state(), NodeState::kReady);
  EXPECT_TRUE(table_.knows_model("m"));
  EXPECT_FALSE(table_.knows_model("other"));
  EXPECT_EQ(*table_.default_model(), "m");
}

TEST_F(NodeTableTest, SilenceMakesItSuspectAndThenDead) {
  table_.on_welcome(a_, welcome(7));
  EXPECT_TRUE(watch(milliseconds(749)).empty());
  EXPECT_EQ(state(), NodeState::kReady);
  EXPECT_TRUE(watch(milliseconds(1)).empty());
  EXPECT_EQ(state(), NodeState::kSuspect);
  EXPECT_TRUE(watch(milliseconds(1249)).empty());
  EXPECT_EQ(watch(milliseconds(1)), std::vector<NodeId>{a_});
  EXPECT_EQ(state(), NodeState::kDead);
  EXPECT_TRUE(table_.expire().empty()) << "a death is reported once";
  EXPECT_FALSE(table_.knows_model("m"));
}

// The node's messages from the I/O thread's absence are still unread.
TEST_F(NodeTableTest, OurOwnAbsenceIsNotItsSilence) {
  table_.on_welcome(a_, welcome(7));
  EXPECT_TRUE(watch(milliseconds(250)).empty());
  clock_.advance(std::chrono::seconds(10));
  EXPECT_TRUE(table_.expire().empty());
  EXPECT_EQ(state(), NodeState::kReady);
  EXPECT_EQ(table_.on_heartbeat(a_, heartbeat(7)), Change::kNone);
}

TEST_F(NodeTableTest, ADeadNodeIsFoundThoughWeAreAwayAgainAndAgain) {
  table_.on_welcome(a_, welcome(7));
  size_t n_died = 0;
  for (int i = 0; i < 6; ++i) {
    clock_.advance(std::chrono::seconds(3));
    n_died += table_.expire().size();
  }
  EXPECT_EQ(n_died, 1u);
}

TEST_F(NodeTableTest, AWordHeardDuringOurAbsenceIsNotOfTheFuture) {
  table_.on_welcome(a_, welcome(7));
  clock_.advance(std::chrono::seconds(10));
  table_.on_heartbeat(a_, heartbeat(7));
  table_.expire();
  EXPECT_EQ(watch(milliseconds(2000)), std::vector<NodeId>{a_});
}

TEST_F(NodeTableTest, TokensOfASuspectShowThatItLives) {
  table_.on_welcome(a_, welcome(7));
  watch(milliseconds(1000));
  EXPECT_EQ(table_.on_tokens(a_, 7), Change::kReady);
  EXPECT_EQ(state(), NodeState::kReady);
  watch(milliseconds(1000));
  EXPECT_EQ(table_.on_heartbeat(a_, heartbeat(7)), Change::kReady);
  EXPECT_EQ(table_.node(a_).load.n_running, 3);
}

TEST_F(NodeTableTest, TheDeadComeBackOnlyByAWelcome) {
  table_.on_welcome(a_, welcome(7));
  watch(milliseconds(2000));
  EXPECT_EQ(table_.on_heartbeat(a_, heartbeat(7)), Change::kNone);
  EXPECT_EQ(table_.on_tokens(a_, 7), Change::kNone);
  EXPECT_EQ(state(), NodeState::kDead);
  EXPECT_EQ(table_.on_welcome(a_, welcome(7)), Change::kReady);
  EXPECT_EQ(state(), NodeState::kReady);
}

TEST_F(NodeTableTest, ANewEpochIsARestart) {
  table_.on_welcome(a_, welcome(7));
  table_.on_heartbeat(a_, heartbeat(7));
  EXPECT_EQ(table_.on_welcome(a_, welcome(7)), Change::kNone);
  EXPECT_EQ(table_.on_welcome(a_, welcome(8)), Change::kRestarted);
  EXPECT_EQ(table_.node(a_).load.n_running, 0) << "the old epoch's load is void";
}

TEST_F(NodeTableTest, ANewConnectionToTheSameEpochLosesTheStreamsOfTheOldOne) {
  wire::Welcome first = welcome(7);
  first.new_peer = true;
  EXPECT_EQ(table_.on_welcome(a_, first), Change::kReady) << "there were no streams";
  watch(milliseconds(1000));
  EXPECT_EQ(table_.on_welcome(a_, first), Change::kRestarted);
  EXPECT_EQ(state(), NodeState::kReady);
  EXPECT_EQ(table_.on_welcome(a_, welcome(7)), Change::kNone) << "a second hello of the same";
}

TEST_F(NodeTableTest, AHeartbeatOfAnotherEpochMeansThatTheStreamsAreLost) {
  table_.on_welcome(a_, welcome(7));
  EXPECT_EQ(table_.on_heartbeat(a_, heartbeat(8)), Change::kLost);
  EXPECT_EQ(state(), NodeState::kConnecting);
  EXPECT_EQ(table_.due_for_hello(), (std::vector<NodeId>{a_, b_}));
}

// A process that restarted gets requests before any hello, and with traffic it is never silent.
TEST_F(NodeTableTest, TokensOfALaterEpochMeanThatTheNodeRestarted) {
  table_.on_welcome(a_, welcome(7));
  EXPECT_EQ(table_.on_tokens(a_, 6), Change::kNone) << "what is left of a connection that broke";
  EXPECT_EQ(table_.node(a_).state, NodeState::kReady);
  EXPECT_EQ(table_.on_tokens(a_, 8), Change::kLost);
  EXPECT_EQ(table_.node(a_).state, NodeState::kConnecting);
  EXPECT_EQ(table_.on_tokens(a_, 8), Change::kNone);
  EXPECT_EQ(table_.on_welcome(a_, welcome(8)), Change::kReady);
}

TEST_F(NodeTableTest, ANodeThatIsNotReadyGetsAHelloEveryQuarterSecond) {
  EXPECT_EQ(table_.due_for_hello(), (std::vector<NodeId>{a_, b_}));
  table_.on_hello_sent(a_);
  EXPECT_EQ(table_.due_for_hello(), std::vector<NodeId>{b_}) << "a hello that failed is due again";
  table_.on_hello_sent(b_);
  table_.on_welcome(b_, welcome(1));
  clock_.advance(milliseconds(249));
  EXPECT_TRUE(table_.due_for_hello().empty());
  clock_.advance(milliseconds(1));
  EXPECT_EQ(table_.due_for_hello(), std::vector<NodeId>{a_});
}

TEST_F(NodeTableTest, ADrainingNodeLivesButTakesNoWork) {
  table_.on_welcome(a_, welcome(7));
  EXPECT_TRUE(table_.node(a_).takes_work());
  table_.on_heartbeat(a_, heartbeat(7, true));
  EXPECT_FALSE(table_.node(a_).takes_work());
  EXPECT_STREQ(state_name(table_.node(a_)), "draining");
  table_.on_heartbeat(a_, heartbeat(7));
  watch(milliseconds(1000));
  EXPECT_TRUE(table_.node(a_).takes_work()) << "a suspect may be the only one there is";
}

TEST_F(NodeTableTest, ModelsAreListedOnce) {
  table_.on_welcome(a_, welcome(1, "m"));
  table_.on_welcome(b_, welcome(2, "m"));
  EXPECT_EQ(table_.groups().size(), 1u);
  table_.on_welcome(b_, welcome(3, "other"));
  EXPECT_EQ(table_.groups().size(), 2u);
}

TEST_F(NodeTableTest, ANodeWithWorkAndNoProgressIsStalled) {
  table_.on_welcome(a_, welcome(7));
  beat(1, 100);
  EXPECT_EQ(beats(15, 1, 100), Change::kNone);
  EXPECT_STREQ(state_name(table_.node(a_)), "ready");
  EXPECT_EQ(beat(1, 100), Change::kStalled) << "16 in a row";
  EXPECT_STREQ(state_name(table_.node(a_)), "stalled");
  EXPECT_EQ(beat(1, 100), Change::kNone) << "told once";
  EXPECT_TRUE(table_.node(a_).is_present()) << "its streams go on";
  EXPECT_TRUE(table_.node(a_).takes_work()) << "it may be the only one";
  EXPECT_FALSE(table_.node(a_).is_ready());
  EXPECT_EQ(beat(1, 101), Change::kReady) << "one step forward ends it";
  EXPECT_STREQ(state_name(table_.node(a_)), "ready");
}

TEST_F(NodeTableTest, ALongStepThatGetsOnIsNoStall) {
  table_.on_welcome(a_, welcome(7));
  for (uint64_t i = 0; i < 500; ++i) EXPECT_EQ(beat(1, 100 + i, 1), Change::kNone) << i;
}

TEST_F(NodeTableTest, AnIdleNodeIsNotStalled) {
  table_.on_welcome(a_, welcome(7));
  EXPECT_EQ(beats(500, 0, 100), Change::kNone);
  EXPECT_EQ(beats(15, 1, 100), Change::kNone) << "work counts from when it came";
  EXPECT_STREQ(state_name(table_.node(a_)), "ready");
}

// A stopped node sends no heartbeats, and heartbeats that waited while the coordinator was stopped
// carry their own counters.
TEST_F(NodeTableTest, TimeWithoutHeartbeatsIsNoStall) {
  table_.on_welcome(a_, welcome(7));
  beats(10, 1, 100);
  clock_.advance(std::chrono::hours(1));
  EXPECT_EQ(beats(6, 1, 100), Change::kNone);
  EXPECT_EQ(beats(5, 1, 101), Change::kNone);
  EXPECT_STREQ(state_name(table_.node(a_)), "ready");
}

TEST_F(NodeTableTest, OfANodeThatTellsStepsOnlyAStepMayTakeLong) {
  table_.on_welcome(a_, welcome(7));
  beat(1, 0, 5);
  EXPECT_EQ(beats(599, 1, 0, 5), Change::kNone);
  EXPECT_EQ(beat(1, 0, 5), Change::kStalled);
  EXPECT_EQ(beat(1, 0, 6), Change::kReady);
}

TEST_F(NodeTableTest, ARestartEndsAStall) {
  table_.on_welcome(a_, welcome(7));
  beats(40, 1, 100);
  ASSERT_TRUE(table_.node(a_).stalled);
  EXPECT_EQ(table_.on_welcome(a_, welcome(8)), Change::kRestarted);
  EXPECT_STREQ(state_name(table_.node(a_)), "ready");
}

TEST_F(NodeTableTest, WhatSaysNothingNewChangesNothing) {
  table_.on_welcome(a_, welcome(7));
  table_.on_welcome(b_, welcome(7));
  table_.on_heartbeat(a_, heartbeat(7));
  const NodeList before = table_.nodes();
  const uint64_t version = table_.version(), membership = table_.membership();
  for (int i = 0; i < 10; ++i) {
    table_.on_heartbeat(a_, heartbeat(7));
    table_.on_tokens(b_, 7);
    watch(milliseconds(50));
  }
  EXPECT_EQ(table_.version(), version);
  EXPECT_EQ(table_.nodes(), before) << "the very same objects";
  wire::Heartbeat busier = heartbeat(7);
  busier.n_running = 4;
  table_.on_heartbeat(a_, busier);
  EXPECT_EQ(table_.version(), version + 1);
  EXPECT_EQ(table_.membership(), membership) << "a load is not a membership";
  EXPECT_NE(table_.nodes()[0], before[0]);
  EXPECT_EQ(table_.nodes()[1], before[1]) << "the other node is shared with the old view";
  EXPECT_EQ(before[0]->load.n_running, 3) << "an old view stays as it was";
}

TEST_F(NodeTableTest, ANodeOfAnotherVersionGetsNoWork) {
  wire::Welcome foreign = welcome(7);
  foreign.version = wire::kProtocolVersion + 1;
  EXPECT_EQ(table_.on_welcome(a_, foreign), Change::kForeign);
  EXPECT_EQ(table_.on_welcome(a_, foreign), Change::kNone) << "told once";
  EXPECT_FALSE(table_.knows_model("m"));
  EXPECT_EQ(table_.on_welcome(a_, welcome(8)), Change::kReady) << "it was replaced";
  EXPECT_TRUE(table_.knows_model("m"));
  EXPECT_EQ(table_.on_welcome(a_, foreign), Change::kForeign);
  EXPECT_FALSE(table_.node(a_).takes_work());
}

TEST_F(NodeTableTest, ANodeWhoseConnectionBreaksIsLostAtOnce) {
  EXPECT_EQ(table_.on_disconnected(a_), Change::kNone) << "it was not there";
  table_.on_welcome(a_, welcome(7));
  EXPECT_EQ(table_.on_disconnected(a_), Change::kLost);
  EXPECT_EQ(state(), NodeState::kConnecting);
  EXPECT_EQ(table_.on_disconnected(a_), Change::kNone);
  EXPECT_EQ(table_.due_for_hello().front(), a_);
  EXPECT_EQ(table_.on_welcome(a_, welcome(7)), Change::kReady);
  EXPECT_EQ(table_.n_false_deaths(), 0u);
}

TEST_F(NodeTableTest, ASilentNodeThatComesBackWasSuspectedWrongly) {
  table_.on_welcome(a_, welcome(7));
  watch(milliseconds(2000));
  ASSERT_EQ(state(), NodeState::kDead);
  table_.on_welcome(a_, welcome(8));
  EXPECT_EQ(table_.n_false_deaths(), 0u) << "it restarted";
  watch(milliseconds(2000));
  table_.on_welcome(a_, welcome(8));
  EXPECT_EQ(table_.n_false_deaths(), 1u);
}

}  // namespace
}  // namespace lockstep
