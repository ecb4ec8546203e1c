// KV cache events: which events inserts and removes give, in which batches, and what a reader that
// was too slow receives.
#include "node/kv/index/block_events.h"

#include <gtest/gtest.h>

#include "node/kv/report/block_event_log.h"
#include "node/kv/report/resident_blocks.h"
#include "tests/support/block_receiver.h"

namespace lockstep {
namespace {

using testing::BlockReceiver;
using testing::resident_blocks;
using Tokens = std::vector<int32_t>;
constexpr BlockId kNone = PrefixIndex::kNone;

// One group, two tokens a block; an entry's hash is its block id plus one.
void insert(PrefixIndex& index, int32_t block, int32_t parent, const std::string& salt = {}) {
  index.insert({salt}, parent < 0 ? kNone : BlockId{parent}, static_cast<uint64_t>(block) + 1,
               Tokens{block, 2 * block}, BlockId{block});
}

TEST(BlockEvents, AChainIsOneEventAndWhatBeginsElsewhereAnother) {
  BlockEventLog log;
  PrefixIndex index(8, 2);
  index.add_sink(log);
  insert(index, 3, -1);
  insert(index, 5, 3);
  insert(index, 6, 3);          // a branch
  insert(index, 7, -1, "tea");  // another key
  index.remove(BlockId{6});
  index.remove(BlockId{5});
  log.end_turn();
  const auto batches = log.take();
  ASSERT_EQ(batches.size(), 1u);
  const std::vector<BlockEvent>& events = batches[0].events;
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].hashes, (std::vector<uint64_t>{4, 6}));
  EXPECT_EQ(events[0].tokens, (Tokens{3, 6, 5, 10}));
  EXPECT_EQ(events[0].parent, std::nullopt);
  EXPECT_EQ(events[1].hashes, (std::vector<uint64_t>{7}));
  EXPECT_EQ(events[1].parent, std::optional<uint64_t>(4));
  EXPECT_EQ(events[2].salt, "tea");
  EXPECT_EQ(events[3].kind, BlockEvent::Kind::kRemoved);
  EXPECT_EQ(events[3].hashes, (std::vector<uint64_t>{7, 6}));
  EXPECT_EQ(log.state().digest, 4u + 8u);
}

TEST(BlockEvents, ATurnWithoutChangesMakesNoBatch) {
  BlockEventLog log;
  int n_notified = 0;
  log.on_batch([&] { ++n_notified; });
  log.end_turn();
  EXPECT_EQ(log.state().n_batches, 0u);
  log.removed(7);
  log.end_turn();
  log.end_turn();
  EXPECT_EQ(log.state().n_batches, 1u);
  EXPECT_EQ(n_notified, 1);
}

TEST(BlockEvents, ASlowReaderLosesTheOldestBatchesAndSeesTheGap) {
  BlockEventLog log(3);
  for (uint64_t hash = 1; hash <= 5; ++hash) {
    log.stored({.hash = hash, .parent = {}, .tokens = {}, .salt = {}});
    log.end_turn();
  }
  const auto batches = log.take();
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches.front().seq, 2u);
  EXPECT_EQ(batches.back().seq, 4u);
  EXPECT_EQ(log.state().n_batches, 5u);
  EXPECT_EQ(log.state().digest, 15u);  // dropped batches count
  EXPECT_EQ(log.counts().n_batches_dropped, 2u);
  EXPECT_EQ(log.counts().n_stored, 5u);
  EXPECT_TRUE(log.take().empty());
}

TEST(BlockEvents, EqualHashesCountAsOftenAsTheyAreResident) {
  BlockEventLog log;
  log.stored({.hash = 9, .parent = {}, .tokens = {}, .salt = {}});
  log.stored({.hash = 9, .parent = {}, .tokens = {}, .salt = {}});
  log.end_turn();
  EXPECT_EQ(log.state().digest, 18u);
}

TEST(ResidentBlocks, ASnapshotHasParentsFirstWhateverTheirBlocks) {
  BlockEventLog log;
  PrefixIndex index(16, 2);
  index.add_sink(log);
  insert(index, 9, -1, "salt");  // a parent whose block id is higher than its children's
  insert(index, 4, 9, "salt");
  insert(index, 7, 4, "salt");
  insert(index, 2, 4, "salt");
  insert(index, 0, -1);
  log.end_turn();
  for (size_t n_per_piece : {1, 2, 3, 100}) {
    BlockReceiver receiver(2);
    receiver.heal(copy_resident_blocks(index, log.state()), n_per_piece);
    EXPECT_EQ(receiver.blocks(), resident_blocks(index));
    EXPECT_EQ(receiver.next_seq(), 1u);
  }
}

TEST(ResidentBlocks, AnEmptyCacheHasNoPieces) {
  const PrefixIndex index(4, 2);
  EXPECT_TRUE(stored_events(copy_resident_blocks(index, {}), 8).empty());
}

}  // namespace
}  // namespace lockstep
