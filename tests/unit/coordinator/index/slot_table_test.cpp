// SlotTable: the same contents as a map, in at most 32 bytes an entry.
#include "coordinator/index/slot_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <unordered_map>

#include "common/hash64.h"
#include "tests/support/random.h"

namespace lockstep {
namespace {

using testing::SeededRandom;

TEST(SlotTable, HoldsWhatAMapHolds) {
  SeededRandom random(8101);
  SlotTable table;
  std::unordered_map<uint64_t, SlotMask> map;
  for (int i = 0; i < 60'000; ++i) {
    // Few keys, half of them at the end of the range, so that runs of entries go around the end.
    const auto n = static_cast<uint64_t>(random.integer(0, 2000));
    const uint64_t key = n % 2 == 0 ? ~uint64_t{0} - n : mix64(n);
    const SlotMask slots = SlotMask{1} << random.integer(0, 3);
    // It grows for a while, then shrinks for a while.
    if (random.chance(i / 10'000 % 2 == 0 ? 0.7 : 0.25)) {
      ASSERT_EQ(table.insert(key, slots), (map[key] & slots) == 0);
      map[key] |= slots;
    } else {
      ASSERT_EQ(table.erase(key, slots), map.contains(key) && (map[key] & slots) != 0);
      if ((map[key] &= ~slots) == 0) map.erase(key);
    }
    if (i % 5000 == 4999) {
      table.erase_all(2);
      for (auto& [k, held] : map) held &= ~SlotMask{2};
      std::erase_if(map, [](const auto& entry) { return entry.second == 0; });
    }
    ASSERT_EQ(table.n_entries(), map.size());
    if (i % 500 != 0) continue;
    for (const auto& [k, held] : map) ASSERT_EQ(table.find(k), held);
    for (uint64_t m = 0; m <= 2000; ++m)
      ASSERT_EQ(table.find(mix64(m)) != 0, map.contains(mix64(m)));
  }
}

TEST(SlotTable, AnEntryTakesAtMost32Bytes) {
  SlotTable table;
  EXPECT_EQ(table.n_bytes(), 0u);
  constexpr uint64_t kEntries = 20'000, kFew = 16;
  for (uint64_t n = 1; n <= kEntries; ++n) {
    table.insert(mix64(n), 1);
    ASSERT_LE(table.n_bytes(), 32 * std::max(n, kFew)) << n;
  }
  for (uint64_t n = kEntries; n > 0; --n) {
    table.erase(mix64(n), 1);
    ASSERT_LE(table.n_bytes(), 32 * std::max(n - 1, kFew)) << n;
  }
  EXPECT_EQ(table.n_bytes(), 0u);
}

TEST(SlotTable, ASweepOfOneSlotGivesItsMemoryBack) {
  SlotTable table;
  for (uint64_t n = 1; n <= 10'000; ++n) table.insert(mix64(n), n % 10 == 0 ? 3 : 1);
  table.erase_all(1);
  EXPECT_EQ(table.n_entries(), 1000u);
  EXPECT_LE(table.n_bytes(), 32'000u);
  for (uint64_t n = 1; n <= 10'000; ++n) ASSERT_EQ(table.find(mix64(n)), n % 10 == 0 ? 2u : 0u);
  table.erase_all(2);
  EXPECT_EQ(table.n_bytes(), 0u);
}

}  // namespace
}  // namespace lockstep
