// KvBlockIndex: the longest match of every node, slots that come and go, memory.
#include "coordinator/index/kv_block_index.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/random.h"

namespace lockstep {
namespace {

using testing::SeededRandom;

constexpr uint64_t kSecret = 0x1234;

std::vector<uint64_t> chain(size_t n, uint64_t from) {
  std::vector<uint64_t> hashes;
  for (size_t i = 0; i < n; ++i) hashes.push_back(from = mix64(from + 1));
  return hashes;
}

IndexSlot shown_slot(KvBlockIndex& index) {
  const IndexSlot slot = *index.open();
  index.show(slot);
  return slot;
}

uint32_t matched(const KvBlockIndex& index, const std::vector<uint64_t>& hashes, IndexSlot slot) {
  return index.match(hashes)[static_cast<size_t>(slot)];
}

TEST(KvBlockIndex, FindsTheLongestMatchOfEveryNode) {
  SeededRandom random(8201);
  for (size_t n : {0u, 1u, 2u, 3u, 7u, 100u, 2048u}) {
    const std::vector<uint64_t> hashes = chain(n, n + 1);
    KvBlockIndex index(kSecret);
    std::vector<uint32_t> lengths;
    for (size_t s = 0; s < KvBlockIndex::kMaxSlots; ++s) {
      const IndexSlot slot = shown_slot(index);
      lengths.push_back(static_cast<uint32_t>(random.integer(0, static_cast<int64_t>(n))));
      if (s == 0) lengths.back() = static_cast<uint32_t>(n);
      for (uint32_t i = 0; i < lengths.back(); ++i) EXPECT_TRUE(index.add(slot, hashes[i]));
    }
    const KvBlockIndex::Matches all = index.match(hashes);
    EXPECT_TRUE(std::ranges::equal(all, lengths));
    const KvBlockIndex::Matches coarse = index.match(hashes, ~SlotMask{0}, /*resolution=*/8);
    for (size_t s = 0; s < coarse.size(); ++s) {
      EXPECT_LE(coarse[s], lengths[s]);
      EXPECT_GT(coarse[s] + 8, lengths[s]);
    }
    const KvBlockIndex::Matches two = index.match(hashes, 0b101);
    for (size_t s = 0; s < two.size(); ++s) {
      EXPECT_EQ(two[s], s == 0 || s == 2 ? lengths[s] : 0) << s;
    }
  }
}

TEST(KvBlockIndex, AHiddenSlotIsFoundOnceItIsShown) {
  KvBlockIndex index(kSecret);
  const std::vector<uint64_t> hashes = chain(3, 1);
  const IndexSlot slot = *index.open();
  for (uint64_t hash : hashes) index.add(slot, hash);
  EXPECT_EQ(matched(index, hashes, slot), 0u);
  EXPECT_TRUE(index.contains(slot, hashes[2]));
  index.show(slot);
  EXPECT_EQ(matched(index, hashes, slot), 3u);
  EXPECT_FALSE(index.add(slot, hashes[2]));
  EXPECT_TRUE(index.remove(slot, hashes[2]));
  EXPECT_FALSE(index.remove(slot, hashes[2]));
  EXPECT_EQ(matched(index, hashes, slot), 2u);
  EXPECT_EQ(index.n_blocks(slot), 2u);
}

TEST(KvBlockIndex, AClosedSlotIsInvisibleAtOnceAndFreeOnceItIsSwept) {
  KvBlockIndex index(kSecret);
  const std::vector<uint64_t> hashes = chain(5000, 1);
  const IndexSlot gone = shown_slot(index), stays = shown_slot(index);
  for (uint64_t hash : hashes) index.add(gone, hash);
  for (size_t i = 0; i < 100; ++i) index.add(stays, hashes[i]);
  const size_t n_bytes = index.n_bytes();
  index.close(gone);
  EXPECT_EQ(matched(index, hashes, gone), 0u);
  EXPECT_EQ(matched(index, hashes, stays), 100u);
  EXPECT_EQ(index.n_entries(), 5000u);
  for (size_t i = 2; i < KvBlockIndex::kMaxSlots; ++i) ASSERT_NE(index.open(), gone);
  EXPECT_EQ(index.open(), std::nullopt);
  index.sweep(KvBlockIndex::kTables - 1);
  EXPECT_EQ(index.open(), std::nullopt);
  index.sweep(1);
  EXPECT_FALSE(index.needs_sweep());
  EXPECT_EQ(index.n_entries(), 100u);
  EXPECT_LT(index.n_bytes(), n_bytes / 4);
  EXPECT_EQ(index.open(), gone);
  index.show(gone);
  EXPECT_EQ(matched(index, hashes, gone), 0u);
  EXPECT_EQ(matched(index, hashes, stays), 100u);
}

// Slots that are closed while others are swept take a whole round of their own.
TEST(KvBlockIndex, SlotsAreSweptTogether) {
  KvBlockIndex index(kSecret);
  const std::vector<uint64_t> hashes = chain(2000, 1);
  const IndexSlot first = shown_slot(index), second = shown_slot(index);
  for (uint64_t hash : hashes) index.add(first, hash);
  for (uint64_t hash : hashes) index.add(second, hash);
  index.close(first);
  index.sweep(100);
  index.close(second);
  index.sweep(KvBlockIndex::kTables - 100);
  EXPECT_EQ(index.open(), first);
  EXPECT_TRUE(index.needs_sweep());
  index.sweep(99);
  EXPECT_TRUE(index.needs_sweep());
  index.sweep(1);
  EXPECT_FALSE(index.needs_sweep());
  EXPECT_EQ(index.n_entries(), 0u);
}

TEST(KvBlockIndex, AnEmptySlotIsFreeAtOnce) {
  KvBlockIndex index(kSecret);
  const IndexSlot slot = *index.open();
  index.add(slot, 7);
  index.remove(slot, 7);
  index.close(slot);
  EXPECT_FALSE(index.needs_sweep());
  EXPECT_EQ(index.open(), slot);
}

TEST(KvBlockIndex, AResidentBlockTakesAtMost32Bytes) {
  KvBlockIndex index(kSecret);
  const IndexSlot slot = *index.open();
  const std::vector<uint64_t> hashes = chain(200'000, 1);
  const auto is_small = [&](size_t n) {
    return n < 16'384 || n % 64 != 0 || index.n_bytes() <= 32 * n;
  };
  for (size_t i = 0; i < hashes.size(); ++i) {
    index.add(slot, hashes[i]);
    ASSERT_TRUE(is_small(i + 1)) << i;
  }
  for (size_t i = hashes.size(); i > 0; --i) {
    index.remove(slot, hashes[i - 1]);
    ASSERT_TRUE(is_small(i - 1)) << i;
  }
}

// Hashes that a client chose to be equal in their low or high bits.
TEST(KvBlockIndex, ChosenHashesSpreadLikeOthers) {
  KvBlockIndex index(kSecret);
  const IndexSlot slot = shown_slot(index);
  for (uint64_t i = 0; i < 20'000; ++i) {
    index.add(slot, i << 40);
    index.add(slot, uint64_t{0xABCDEF} << 40 | i);
  }
  EXPECT_LE(index.n_bytes(), 32 * index.n_entries());
}

TEST(KvBlockIndexDeathTest, AClosedSlotTakesNoBlocks) {
  KvBlockIndex index(kSecret);
  const IndexSlot slot = *index.open();
  index.close(slot);
  EXPECT_DEATH(index.add(slot, 1), "open_");
  EXPECT_DEATH(index.close(slot), "open_");
}

}  // namespace
}  // namespace lockstep
