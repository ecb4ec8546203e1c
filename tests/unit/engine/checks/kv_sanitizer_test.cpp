// Which blocks are filled with NaN: stale ones, and never one in use.
#include "node/engine/checks/kv_sanitizer.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep {
namespace {

using testing::CoreHarness;
using testing::request_of;

std::set<int32_t> ids(const std::vector<BlockId>& blocks) {
  std::set<int32_t> out;
  for (BlockId block : blocks) out.insert(raw(block));
  return out;
}

TEST(KvSanitizer, FindsWhatWasFreedOrHandedOutOnceEach) {
  BlockPool pool(4);
  KvSanitizer sanitizer;
  EXPECT_EQ(sanitizer.find_stale(pool),
            (std::vector<BlockId>{BlockId{0}, BlockId{1}, BlockId{2}, BlockId{3}}));
  EXPECT_TRUE(sanitizer.find_stale(pool).empty());
  BlockReservation reservation = std::move(*pool.reserve(2));
  {
    const BlockRef block = reservation.take();
    EXPECT_EQ(sanitizer.find_stale(pool), std::vector<BlockId>{block.id()});
    EXPECT_TRUE(sanitizer.find_stale(pool).empty()) << "it is being written now";
  }
  EXPECT_EQ(sanitizer.find_stale(pool).size(), 1u);
  pool.reserve(1)->take();  // allocated and freed between two calls
  EXPECT_EQ(sanitizer.find_stale(pool).size(), 1u);
}

TEST(KvSanitizer, CachedBlocksAreLeftAloneUntilTheyAreEvicted) {
  BlockPool pool(2);
  KvSanitizer sanitizer;
  std::optional<BlockReservation> reservation = pool.reserve(1);
  BlockId kept{};
  {
    const BlockRef block = reservation->take();
    kept = block.id();
    pool.keep(kept);
    sanitizer.find_stale(pool);
  }
  EXPECT_TRUE(sanitizer.find_stale(pool).empty());
  pool.evict(kept);
  EXPECT_EQ(sanitizer.find_stale(pool), std::vector<BlockId>{kept});
}

// A block that is filled has not been written since its allocation, and only the next step uses it.
TEST(KvSanitizer, UnderALoadNoBlockThatHoldsTokensIsEverFilled) {
  EngineConfig config = testing::small_config(2);
  config.sanitize_kv = true;
  config.n_kv_blocks = 12;
  CoreHarness node(config);
  size_t n_filled = 0;
  node.executor.on_fill_with_nan = [&](std::span<const BlockId> blocks) {
    n_filled += blocks.size();
    const std::set<int32_t> filled = ids({blocks.begin(), blocks.end()});
    for (const Sequence* sequence : node.core.scheduler().running()) {
      const std::span<const BlockId> table = sequence->table().ids();
      const auto n_written =
          static_cast<size_t>(sequence->n_computed() / config.limits.block_size);  // full ones
      for (size_t b = 0; b < n_written; ++b) EXPECT_FALSE(filled.contains(raw(table[b])));
    }
  };
  testing::SeededRandom random(20261121);
  for (uint64_t id = 1; id <= 60; ++id) {
    std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, 20)), 7);
    prompt.back() = static_cast<int32_t>(random.integer(1, 3));
    ASSERT_TRUE(node.accept(request_of(id, prompt, static_cast<int32_t>(random.integer(1, 12)))));
    if (random.chance(0.5)) node.turn();
  }
  node.run();
  EXPECT_GT(n_filled, 60u);
}

}  // namespace
}  // namespace lockstep
