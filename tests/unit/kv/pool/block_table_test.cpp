// BlockTable: grows with the sequence from its own reservation, and returns every block.
#include "node/kv/pool/block_table.h"

#include <gtest/gtest.h>

#include <set>

namespace lockstep {
namespace {

TEST(BlockTable, RoundsTokensUpToBlocks) {
  EXPECT_EQ(n_blocks_for(0, 16), 0);
  EXPECT_EQ(n_blocks_for(1, 16), 1);
  EXPECT_EQ(n_blocks_for(16, 16), 1);
  EXPECT_EQ(n_blocks_for(17, 16), 2);
}

TEST(BlockTable, TakesABlockOnlyWhenAPositionNeedsIt) {
  BlockPool pool(8);
  BlockTable table;
  table.start(std::move(*pool.reserve(3)), 4, 3);
  EXPECT_EQ(table.n_slots(), 0);
  table.grow(1);
  EXPECT_EQ(table.n_blocks(), 1);
  table.grow(4);
  EXPECT_EQ(table.n_blocks(), 1);
  table.grow(5);
  EXPECT_EQ(table.n_blocks(), 2);
  EXPECT_EQ(table.n_blocks_reserved(), 1);
  EXPECT_EQ(pool.n_blocks_free(), 6);
}

TEST(BlockTable, GrowingKeepsTheBlocksItHas) {
  BlockPool pool(8);
  BlockTable table;
  table.start(std::move(*pool.reserve(8)), 2, 8);
  table.grow(6);
  const std::vector<BlockId> before(table.ids().begin(), table.ids().end());
  table.grow(16);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), table.ids().begin()));
  EXPECT_EQ(std::set<BlockId>(table.ids().begin(), table.ids().end()).size(), 8u);
}

TEST(BlockTable, ClearReturnsBlocksAndReservation) {
  BlockPool pool(4);
  BlockTable table;
  table.start(std::move(*pool.reserve(4)), 16, 4);
  table.grow(20);
  table.clear();
  EXPECT_EQ(pool.n_blocks_free(), 4);
  EXPECT_EQ(pool.n_blocks_reserved(), 0);
  EXPECT_TRUE(table.ids().empty());
  table.start(std::move(*pool.reserve(1)), 16, 1);  // the table can be used again
  table.grow(16);
  EXPECT_EQ(table.n_blocks(), 1);
}

TEST(BlockTableDeathTest, GrowingPastTheReservationIsABug) {
  BlockPool pool(4);
  BlockTable table;
  table.start(std::move(*pool.reserve(1)), 4, 1);
  EXPECT_DEATH(table.grow(5), "n_left_");
}

}  // namespace
}  // namespace lockstep
