// NodeKvMirror: what it requests when batches are lost, repeated, late or wrong.
#include "coordinator/index/node_kv_mirror.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/fake_clock.h"
#include "tests/unit/coordinator/index/event_node.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using testing::EventNode;
using Kind = KvRequest::Kind;

struct Following {
  explicit Following(size_t n_kept = 100) : node(7, 1000, n_kept) {
    for (int64_t i = 0; i < 3; ++i) node.store({}, testing::child_hash({}, i));
    node.end_turn();
    mirror.start(7, 1000);
    answer();
  }
  // One more batch, of one block. Returns its message.
  EventNode::Message batch() {
    tip = testing::child_hash(tip, 9);
    node.store(parent, *tip);
    parent = tip;
    return *node.end_turn();
  }
  void live(const EventNode::Message& message) { mirror.on_live(message.seq, message.bytes); }
  void heartbeat() { mirror.on_heartbeat(node.seq(), node.digest()); }
  // Polls, and gives the node's answer to what is requested.
  std::optional<KvRequest> answer() {
    const std::optional<KvRequest> request = mirror.poll();
    if (!request) return request;
    for (const auto& message : node.answer(*request)) mirror.on_answer(request->id, message.view());
    return request;
  }
  bool is_equal() const {
    for (uint64_t hash : node.hashes()) {
      if (!index.contains(*mirror.slot(), hash)) return false;
    }
    return mirror.n_blocks() == node.n_blocks() && mirror.n_batches_behind() == 0;
  }
  void expect_snapshot(KvResyncCause cause) {
    EXPECT_EQ(mirror.state(), KvMirrorState::kLoading);
    EXPECT_EQ(mirror.n_resyncs(cause), 1u) << cause_name(cause);
    clock.advance(milliseconds(200));
    const auto request = answer();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->kind, Kind::kSnapshot);
    EXPECT_EQ(mirror.state(), KvMirrorState::kFollowing);
    EXPECT_TRUE(is_equal());
  }

  testing::FakeClock clock;
  KvBlockIndex index{1};
  EventNode node;
  NodeKvMirror mirror{index, clock};
  std::optional<uint64_t> parent, tip;
};

TEST(NodeKvMirror, LoadsASnapshotAndFollows) {
  Following f;
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kFollowing);
  EXPECT_TRUE(f.is_equal());
  f.live(f.batch());
  f.heartbeat();
  EXPECT_TRUE(f.is_equal());
  EXPECT_EQ(f.mirror.poll(), std::nullopt);
  EXPECT_EQ(f.mirror.n_resyncs(KvResyncCause::kStart), 1u);
}

TEST(NodeKvMirror, LiveBatchesWaitForTheSnapshot) {
  Following f;
  f.mirror.start(7, 1000);
  EXPECT_EQ(f.mirror.slot(), std::nullopt);
  const auto request = f.mirror.poll();
  ASSERT_TRUE(request);
  f.live(f.batch());
  const auto pages = f.node.answer(*request);  // contains the batch above
  f.live(f.batch());
  f.live(f.batch());
  for (const auto& page : pages) {
    EXPECT_EQ(f.mirror.slot(), std::nullopt);
    f.mirror.on_answer(request->id, page.view());
  }
  EXPECT_TRUE(f.is_equal());
}

TEST(NodeKvMirror, AGapIsReplayed) {
  Following f;
  f.batch();  // lost
  f.batch();  // lost
  f.live(f.batch());
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kReplaying);
  EXPECT_EQ(f.mirror.n_batches_behind(), 3u);
  const auto request = f.mirror.poll();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->kind, Kind::kReplay);
  EXPECT_EQ(request->first, 1u);
  f.live(f.batch());  // while the answer is under way
  for (const auto& m : f.node.answer(*request)) f.mirror.on_answer(request->id, m.view());
  EXPECT_TRUE(f.is_equal());
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kFollowing);
  EXPECT_EQ(f.mirror.n_resyncs(KvResyncCause::kGap), 1u);
}

TEST(NodeKvMirror, WhatIsLostDuringAReplayIsReplayedToo) {
  Following f;
  f.batch();  // lost
  f.live(f.batch());
  const auto request = f.mirror.poll();
  const auto answer = f.node.answer(*request);
  f.batch();  // lost
  f.live(f.batch());
  for (const auto& m : answer) f.mirror.on_answer(request->id, m.view());
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kReplaying);
  EXPECT_EQ(f.answer()->first, 3u);
  EXPECT_TRUE(f.is_equal());
}

TEST(NodeKvMirror, BatchesThatTheNodeNoLongerHasCostASnapshot) {
  Following f(/*n_kept=*/2);
  for (int i = 0; i < 5; ++i) f.batch();
  f.live(f.batch());
  EXPECT_EQ(f.answer()->kind, Kind::kReplay);
  f.expect_snapshot(KvResyncCause::kHistory);
}

TEST(NodeKvMirror, AnAnswerWithoutTheBatchesThatWerePublishedCostsASnapshot) {
  Following f;
  f.batch();  // lost
  f.live(f.batch());
  const auto request = f.mirror.poll();
  f.mirror.on_answer(request->id, f.node.answer(*request).back().view());  // its end only
  f.expect_snapshot(KvResyncCause::kHistory);
}

TEST(NodeKvMirror, ALostTailIsReplayedAfterHalfASecond) {
  Following f;
  f.batch();  // lost
  f.heartbeat();
  EXPECT_EQ(f.mirror.n_batches_behind(), 1u);
  f.clock.advance(milliseconds(500));
  EXPECT_EQ(f.mirror.poll(), std::nullopt);
  f.clock.advance(milliseconds(1));
  const auto request = f.answer();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->kind, Kind::kReplay);
  EXPECT_TRUE(f.is_equal());
  EXPECT_EQ(f.mirror.n_resyncs(KvResyncCause::kLag), 1u);
}

TEST(NodeKvMirror, BatchesThatComeAfterTheirHeartbeatAreNotLost) {
  Following f;
  for (int i = 0; i < 20; ++i) {
    const auto message = f.batch();
    f.heartbeat();
    f.clock.advance(milliseconds(400));
    EXPECT_EQ(f.mirror.poll(), std::nullopt);
    f.live(message);
  }
  EXPECT_TRUE(f.is_equal());
}

TEST(NodeKvMirror, RepeatedBatchesAreDropped) {
  Following f;
  const auto message = f.batch();
  f.live(message);
  f.live(message);
  EXPECT_EQ(f.mirror.n_dropped(), 1u);
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kFollowing);
  EXPECT_TRUE(f.is_equal());
}

TEST(NodeKvMirror, DigestsAreComparedAtTheSameNumber) {
  Following f;
  const uint64_t seq = f.node.seq(), digest = f.node.digest();
  for (int i = 0; i < 100; ++i) f.live(f.batch());
  f.mirror.on_heartbeat(seq, digest);  // that of 100 batches ago
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kFollowing);
  f.mirror.on_heartbeat(seq + 1, digest);
  f.expect_snapshot(KvResyncCause::kDigest);
}

TEST(NodeKvMirror, ADigestOfALaterNumberIsComparedThere) {
  Following f;
  const auto message = f.batch();
  f.mirror.on_heartbeat(f.node.seq(), f.node.digest() + 1);
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kFollowing);
  f.live(message);
  f.expect_snapshot(KvResyncCause::kDigest);
}

TEST(NodeKvMirror, ASnapshotFromTheFutureIsNotBelieved) {
  Following f;
  f.mirror.start(7, 1000);
  const auto request = f.mirror.poll();
  for (auto page : f.node.answer(*request)) {
    if (!page.is_end) page.seq += 1000;
    f.mirror.on_answer(request->id, page.view());
  }
  f.heartbeat();  // it may have been under way
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kFollowing);
  f.clock.advance(milliseconds(501));
  f.heartbeat();
  f.expect_snapshot(KvResyncCause::kDigest);
}

TEST(NodeKvMirror, AnotherEpochIsNotApplied) {
  Following f;
  EventNode other(8, 1000, 10);
  other.store({}, 99);
  f.batch();  // lost
  auto message = *other.end_turn();
  message.seq = 1;
  f.live(message);
  EXPECT_FALSE(f.index.contains(*f.mirror.slot(), 99));
  f.expect_snapshot(KvResyncCause::kEpoch);
}

TEST(NodeKvMirror, BatchesOfTheLastLifeDoNotDisturbTheLoading) {
  Following f;
  const auto old = f.batch();
  EventNode restarted(8, 1000, 10);
  f.mirror.start(8, 1000);
  const auto request = f.mirror.poll();
  f.live(old);
  EXPECT_EQ(f.mirror.n_dropped(), 1u);
  for (const auto& m : restarted.answer(*request)) f.mirror.on_answer(request->id, m.view());
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kFollowing);
  EXPECT_EQ(f.mirror.n_blocks(), 0u);
}

TEST(NodeKvMirror, ARestartAndALossAreInvisibleAtOnce) {
  Following f;
  const auto hashes = f.node.hashes();
  const auto sum = [&] {
    size_t n = 0;
    for (uint64_t hash : hashes) {
      for (uint32_t m : f.index.match(std::vector<uint64_t>{hash})) n += m;
    }
    return n;
  };
  EXPECT_EQ(sum(), hashes.size());
  f.mirror.start(8, 1000);
  EXPECT_EQ(sum(), 0u);
  f.mirror.start(7, 1000);
  f.answer();
  EXPECT_EQ(sum(), hashes.size());
  f.mirror.stop();
  EXPECT_EQ(sum(), 0u);
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kOff);
  f.live(f.batch());
  f.heartbeat();
  EXPECT_EQ(f.mirror.poll(), std::nullopt);
}

// A batch with one event that cannot be right.
void expect_resync(KvResyncCause cause, const std::function<void(wire::KvEventBatch&)>& lie) {
  Following f;
  wire::KvEventBatch batch;
  batch.epoch = 7;
  lie(batch);
  f.mirror.on_live(1, testing::encoded_kv_events(batch));
  EXPECT_TRUE(f.mirror.slot());  // what was known stays visible
  f.expect_snapshot(cause);
}

TEST(NodeKvMirror, EventsThatCannotBeRightCostASnapshot) {
  const auto removed = [](auto& batch) { testing::add_removed(batch, {12345}); };
  const auto orphan = [](auto& batch) { testing::add_stored(batch, 12345, {1}); };
  const auto cleared = [](auto& batch) { testing::add_cleared(batch); };
  const auto many = [](auto& batch) {
    std::vector<uint64_t> hashes;
    for (uint64_t i = 1; i <= 998; ++i) hashes.push_back(i);
    testing::add_stored(batch, {}, hashes);
  };
  expect_resync(KvResyncCause::kUnknownBlock, removed);
  expect_resync(KvResyncCause::kUnknownBlock, orphan);
  expect_resync(KvResyncCause::kMalformed, cleared);
  expect_resync(KvResyncCause::kOverCapacity, many);
}

TEST(NodeKvMirror, BytesThatAreNoBatchCostASnapshot) {
  Following f;
  f.mirror.on_live(1, "\xc1");
  f.expect_snapshot(KvResyncCause::kMalformed);
}

TEST(NodeKvMirror, BlocksWithTheSameHashAreCounted) {
  Following f;
  wire::KvEventBatch batch;
  batch.epoch = 7;
  testing::add_stored(batch, {}, {50, 60});
  testing::add_stored(batch, {}, {50});
  f.mirror.on_live(1, testing::encoded_kv_events(batch));
  EXPECT_EQ(f.mirror.n_blocks(), 6u);
  f.mirror.on_heartbeat(2, f.node.digest() + 50 + 60 + 50);
  wire::KvEventBatch gone;
  gone.epoch = 7;
  testing::add_removed(gone, {50});
  f.mirror.on_live(2, testing::encoded_kv_events(gone));
  EXPECT_TRUE(f.index.contains(*f.mirror.slot(), 50));
  f.mirror.on_live(3, testing::encoded_kv_events(gone));
  EXPECT_FALSE(f.index.contains(*f.mirror.slot(), 50));
  f.mirror.on_heartbeat(4, f.node.digest() + 60);
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kFollowing);
  f.mirror.on_live(4, testing::encoded_kv_events(gone));
  EXPECT_EQ(f.mirror.n_resyncs(KvResyncCause::kUnknownBlock), 1u);
}

TEST(NodeKvMirror, AnAnswerThatEndsEarlyIsRequestedAgain) {
  Following f;
  f.mirror.start(7, 1000);
  const auto first = f.mirror.poll();
  f.mirror.on_answer(first->id, f.node.answer(*first).front().view());
  f.clock.advance(milliseconds(2001));
  EXPECT_EQ(f.mirror.poll(), std::nullopt);  // it waits a little before the next
  EXPECT_EQ(f.mirror.n_resyncs(KvResyncCause::kNoAnswer), 1u);
  f.clock.advance(milliseconds(100));
  const auto second = f.mirror.poll();
  ASSERT_TRUE(second);
  f.mirror.on_answer(first->id, f.node.answer(*first).back().view());  // late, of the first
  EXPECT_EQ(f.mirror.state(), KvMirrorState::kLoading);
  for (const auto& m : f.node.answer(*second)) f.mirror.on_answer(second->id, m.view());
  EXPECT_TRUE(f.is_equal());
}

TEST(NodeKvMirror, AnEndWithoutPagesIsNoSnapshot) {
  Following f;
  f.mirror.start(7, 1000);
  const auto request = f.mirror.poll();
  f.mirror.on_answer(request->id, f.node.answer(*request).back().view());
  f.expect_snapshot(KvResyncCause::kNoAnswer);
}

TEST(NodeKvMirror, PagesOfTwoSnapshotsAreNoSnapshot) {
  for (const bool is_first_again : {true, false}) {
    Following f;
    for (int i = 0; i < 10; ++i) f.live(f.batch());
    f.mirror.start(7, 1000);
    const auto request = f.mirror.poll();
    auto pages = f.node.answer(*request, /*blocks_per_page=*/4);
    ASSERT_GT(pages.size(), 3u);
    f.mirror.on_answer(request->id, pages[0].view());
    if (!is_first_again) ++pages[1].seq;
    f.mirror.on_answer(request->id, pages[is_first_again ? 0 : 1].view());
    f.expect_snapshot(KvResyncCause::kMalformed);
  }
}

TEST(NodeKvMirror, ANodeThatIsAlwaysWrongIsAskedLessAndLessOften) {
  Following f;
  int n_requests = 0;
  for (int i = 0; i < 1200; ++i) {  // a minute
    if (f.answer()) ++n_requests;
    if (f.mirror.state() == KvMirrorState::kFollowing) f.mirror.on_live(f.node.seq(), "");
    f.clock.advance(milliseconds(50));
  }
  EXPECT_GE(n_requests, 8);
  EXPECT_LE(n_requests, 14);
}

TEST(NodeKvMirror, ANumberThatIsNeverReachedDoesNotFloodTheNode) {
  Following f;
  int n_requests = 0;
  for (int i = 0; i < 600; ++i) {
    f.live(f.batch());
    f.mirror.on_heartbeat(uint64_t{1} << 60, 1);
    if (f.answer()) ++n_requests;
    f.clock.advance(milliseconds(100));
  }
  EXPECT_LE(n_requests, 60);
}

TEST(NodeKvMirror, WithoutAFreeSlotTheNodeGivesItsOwnUp) {
  Following f;
  std::vector<IndexSlot> others;
  while (const auto slot = f.index.open()) others.push_back(*slot);
  f.mirror.on_live(1, "");
  f.clock.advance(milliseconds(200));
  EXPECT_EQ(f.mirror.poll(), std::nullopt);
  EXPECT_EQ(f.mirror.slot(), std::nullopt);
  EXPECT_EQ(f.mirror.poll(), std::nullopt);
  f.index.sweep(KvBlockIndex::kTables);
  ASSERT_TRUE(f.answer());
  EXPECT_TRUE(f.is_equal());
}

}  // namespace
}  // namespace lockstep
