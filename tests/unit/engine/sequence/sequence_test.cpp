// Sequence: only legal state transitions, and progress that adds up.
#include "node/engine/sequence/sequence.h"

#include <gtest/gtest.h>

#include <set>

#include "node/engine/sequence/live_request.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

TEST(Sequence, OnlyTheTableOfTransitionsIsLegal) {
  using enum SeqState;
  const std::set<std::pair<SeqState, SeqState>> legal = {
      {kWaiting, kPrefilling},  {kWaiting, kReleased},  {kPrefilling, kDecoding},
      {kPrefilling, kRetiring}, {kDecoding, kRetiring}, {kRetiring, kReleased},
      {kDecoding, kPrefilling}, {kDecoding, kWaiting},  {kPrefilling, kWaiting},
  };
  for (int from = 0; from < kNSeqStates; ++from) {
    for (int to = 0; to < kNSeqStates; ++to) {
      const std::pair move{static_cast<SeqState>(from), static_cast<SeqState>(to)};
      EXPECT_EQ(is_legal_transition(move.first, move.second), legal.contains(move))
          << to_string(move.first) << " -> " << to_string(move.second);
    }
  }
}

BlockTable table_for(BlockPool& pool, int32_t n_blocks, int32_t block_size) {
  BlockTable table;
  table.start(std::move(*pool.reserve(n_blocks)), block_size, n_blocks);
  return table;
}

TEST(Sequence, LivesThroughItsStates) {
  BlockPool pool(4);
  LiveRequest request(request_of(1, {5, 6, 7}, 2));
  Sequence& sequence = request.choices[0].sequence;
  EXPECT_TRUE(sequence.is_waiting());
  EXPECT_EQ(sequence.n_outputs(), 0);
  EXPECT_EQ(sequence.n_tokens_max(), 5);

  sequence.admit(SeqSlot{2}, table_for(pool, 2, 4), {}, 0);
  EXPECT_EQ(sequence.state(), SeqState::kPrefilling);
  sequence.plan_chunk(2, false);
  EXPECT_EQ(sequence.n_prefill_left(), 1);
  sequence.finish_chunk(2, false);
  sequence.plan_chunk(1, true);
  EXPECT_EQ(sequence.state(), SeqState::kDecoding);
  EXPECT_EQ(sequence.n_computed(), 2);
  EXPECT_EQ(sequence.n_inflight(), 1);

  sequence.plan_chunk(1, true);  // with the first output still in flight
  EXPECT_EQ(sequence.next_position(), 4);
  EXPECT_TRUE(sequence.is_length_planned());
  sequence.finish_chunk(1, true);
  sequence.append_output(9);
  EXPECT_EQ(sequence.n_outputs(), 1);

  sequence.retire();
  EXPECT_FALSE(sequence.is_open());
  EXPECT_EQ(pool.n_blocks_free(), 3);
  sequence.finish_chunk(1, true);
  sequence.release();
  EXPECT_EQ(pool.n_blocks_free(), 4);
  EXPECT_EQ(pool.n_blocks_reserved(), 0);
}

TEST(SequenceDeathTest, BlocksAreNotReleasedUnderAStepInFlight) {
  BlockPool pool(4);
  LiveRequest request(request_of(1, {5}, 2));
  Sequence& sequence = request.choices[0].sequence;
  sequence.admit(SeqSlot{0}, table_for(pool, 1, 4), {}, 0);
  sequence.plan_chunk(1, true);
  sequence.retire();
  EXPECT_DEATH(sequence.release(), "n_inflight_");
}

TEST(SequenceDeathTest, AnIllegalTransitionIsABug) {
  LiveRequest request(request_of(1, {5}, 2));
  EXPECT_DEATH(request.choices[0].sequence.retire(), "is_legal_transition");
}

}  // namespace
}  // namespace lockstep::testing
