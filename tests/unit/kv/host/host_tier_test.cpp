// HostTier: blocks that the prefix cache evicts are found again in host memory, and no others.
#include "node/kv/host/host_tier.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/random.h"
#include "tests/unit/kv/cached_pool.h"

namespace lockstep::testing {
namespace {

// A cache of 8 blocks of 4 tokens over a tier.
struct TieredPool : CachedPool {
  explicit TieredPool(int32_t n_host, int32_t max_stores = 8)
      : CachedPool(8, 4), tier(n_host, 8, 4, max_stores) {
    cache.set_host_tier(&tier);
  }
  // Evicts every unreferenced entry and takes the stores.
  void evict_all() {
    cache.make_room(pool.n_blocks_total());
    copy();
  }
  void copy() { tier.take_stores(copies); }
  std::vector<HostBlockId> in_host(const Tokens& tokens, PrefixKey key = {}) {
    return match(tokens, static_cast<int32_t>(tokens.size()), std::move(key)).host;
  }
  std::vector<HostPin> pin(const std::vector<HostBlockId>& blocks) {
    std::vector<HostPin> pins;
    for (HostBlockId block : blocks) pins.push_back(tier.pin(block));
    return pins;
  }

  HostTier tier;
  std::vector<HostCopy> copies;
};

TEST(HostTier, WhatIsEvictedIsFoundInOrder) {
  TieredPool pool(8);
  pool.leave(counting(0, 12));
  pool.evict_all();
  EXPECT_TRUE(pool.match(counting(0, 12), 12).entries.empty());
  EXPECT_EQ(pool.in_host(counting(0, 12)).size(), 3u);
  EXPECT_EQ(pool.in_host(counting(0, 8) + Tokens(4, 99)).size(), 2u);
  EXPECT_TRUE(pool.in_host(Tokens{99} + counting(1, 11)).empty());
  ASSERT_EQ(pool.copies.size(), 3u);  // childless entries first, each into a block of its own
  EXPECT_EQ(pool.copies[2].to, pool.in_host(counting(0, 12))[0]);
  EXPECT_EQ(pool.tier.check_invariants(), 0);
}

TEST(HostTier, ItGoesOnWhereTheDevicesEnd) {
  TieredPool pool(8);
  pool.leave(counting(0, 12));
  pool.evict_all();
  pool.leave(counting(0, 4));  // computed again: one prefix, in both places
  const PrefixMatch match = pool.match(counting(0, 12), 11);
  EXPECT_EQ(match.entries.size(), 1u);
  EXPECT_EQ(match.host.size(), 1u);  // the third is not whole within 11 tokens
  pool.evict_all();
  EXPECT_EQ(pool.copies.size(), 0u) << "it was kept already";
}

TEST(HostTier, OtherSaltsAndOtherFirstBlocksFindNothing) {
  TieredPool pool(8);
  pool.leave(counting(0, 8));
  pool.evict_all();
  EXPECT_TRUE(pool.in_host(counting(0, 8), {"salt"}).empty());
  // The same second block after another first one.
  pool.leave(Tokens(4, 50));
  EXPECT_TRUE(pool.in_host(Tokens(4, 50) + counting(4, 4)).empty());
}

TEST(HostTier, TheOneUnusedForLongestGivesWayButNotThePinned) {
  TieredPool pool(2);
  pool.leave(counting(0, 4));
  pool.evict_all();
  std::vector<HostPin> pins = pool.pin(pool.in_host(counting(0, 4)));
  pool.leave(counting(100, 4));
  pool.evict_all();
  pool.leave(counting(200, 4));
  pool.evict_all();
  EXPECT_EQ(pool.in_host(counting(0, 4)).size(), 1u);
  EXPECT_TRUE(pool.in_host(counting(100, 4)).empty());
  EXPECT_EQ(pool.in_host(counting(200, 4)).size(), 1u);
  EXPECT_EQ(pool.tier.n_evicted(), 1u);
  release(pins);
  pool.leave(counting(300, 4));
  pool.evict_all();
  EXPECT_TRUE(pool.in_host(counting(200, 4)).empty());  // used before the block that was pinned
  EXPECT_EQ(pool.tier.check_invariants(), 0);
}

TEST(HostTier, WhatWasLoadedIsLetGoOfEndFirst) {
  TieredPool pool(3);
  pool.leave(counting(0, 12));
  pool.evict_all();
  std::vector<HostPin> pins = pool.pin(pool.in_host(counting(0, 12)));
  release(pins);
  pool.leave(counting(100, 4));
  pool.evict_all();
  EXPECT_EQ(pool.in_host(counting(0, 12)).size(), 2u);  // the third was evicted, not the first
}

TEST(HostTier, WithEverythingPinnedNothingIsKept) {
  TieredPool pool(1);
  pool.leave(counting(0, 4));
  pool.evict_all();
  std::vector<HostPin> pins = pool.pin(pool.in_host(counting(0, 4)));
  pool.leave(counting(100, 4));
  pool.evict_all();
  EXPECT_TRUE(pool.in_host(counting(100, 4)).empty());
  release(pins);
}

TEST(HostTier, NoMoreCopiesThanAStepCanMake) {
  TieredPool pool(8, /*max_stores=*/2);
  pool.leave(counting(0, 12));
  pool.evict_all();
  EXPECT_EQ(pool.copies.size(), 2u);
  EXPECT_EQ(pool.tier.n_blocks(HostBlockState::kCached), 2);
}

TEST(HostTier, WhatWasDroppedIsNotFoundAndFreeOnceItHasNoPins) {
  TieredPool pool(4);
  pool.leave(counting(0, 4));
  pool.evict_all();
  const HostBlockId block = pool.in_host(counting(0, 4)).front();
  HostPin pin = pool.tier.pin(block);
  pool.tier.drop(block);
  EXPECT_FALSE(pin.is_valid());
  EXPECT_TRUE(pool.in_host(counting(0, 4)).empty());
  EXPECT_EQ(pool.tier.n_blocks(HostBlockState::kPinned), 1);
  pin = HostPin();
  EXPECT_EQ(pool.tier.n_blocks(HostBlockState::kFree), 4);
  EXPECT_EQ(pool.tier.check_invariants(), 0);
}

TEST(HostTier, AQuarantineEndsAfterSomeSteps) {
  TieredPool pool(1);
  pool.leave(counting(0, 4));
  pool.evict_all();
  pool.tier.quarantine(pool.in_host(counting(0, 4)).front());
  EXPECT_EQ(pool.tier.n_quarantined(), 1u);
  for (uint64_t step = 0; step < kQuarantineSteps; ++step) {
    EXPECT_EQ(pool.tier.n_blocks(HostBlockState::kQuarantined), 1);
    pool.leave(counting(100, 4));
    pool.evict_all();  // the tier has no block for it
    pool.tier.begin_step();
  }
  EXPECT_EQ(pool.tier.n_blocks(HostBlockState::kFree), 1);
  EXPECT_EQ(pool.tier.check_invariants(), 0);
}

TEST(HostTier, ClearForgetsAllThatHasNoPins) {
  TieredPool pool(4);
  pool.leave(counting(0, 8));
  pool.leave(counting(100, 4), {"salt"});
  pool.evict_all();
  const HostPin pin = pool.tier.pin(pool.in_host(counting(0, 8)).front());
  EXPECT_EQ(
      pool.tier.clear([](uint64_t key, int32_t) { return key == prefix_hash(PrefixKey{"salt"}); }),
      1);
  EXPECT_EQ(pool.tier.clear(), 1);
  EXPECT_EQ(pool.in_host(counting(0, 8)).size(), 1u);
}

// Compares with plain maps of what every device and host block holds: a match has the tokens asked
// for.
TEST(HostTier, RandomTrafficFindsOnlyWhatIsThere) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    TieredPool pool(static_cast<int32_t>(random.integer(1, 12)));
    std::map<BlockId, Tokens> on_device;    // all tokens of the prefix that the block ends
    std::map<HostBlockId, Tokens> in_host;  // likewise
    const auto copy = [&] {
      pool.copy();
      for (const HostCopy& store : pool.copies) in_host[store.to] = on_device.at(store.from);
    };
    uint64_t n_found = 0;
    for (int i = 0; i < 500; ++i) {
      Tokens tokens;
      for (int64_t n = random.integer(1, 6); n > 0; --n) {
        tokens = tokens + Tokens(4, static_cast<int32_t>(random.integer(0, 2)));
      }
      pool.leave(tokens);
      copy();
      const PrefixMatch left = pool.match(tokens, static_cast<int32_t>(tokens.size()));
      for (size_t b = 0; b < left.entries.size(); ++b) {
        on_device[left.entries[b]] = Tokens(tokens.begin(), tokens.begin() + 4 * int64_t(b + 1));
      }
      pool.cache.make_room(static_cast<int32_t>(random.integer(0, 8)));
      copy();
      const PrefixMatch match = pool.match(tokens, static_cast<int32_t>(tokens.size()));
      for (size_t b = 0; b < match.host.size(); ++b) {
        const auto n_tokens = 4 * static_cast<int64_t>(match.entries.size() + b + 1);
        ASSERT_EQ(in_host.at(match.host[b]), Tokens(tokens.begin(), tokens.begin() + n_tokens));
        ++n_found;
      }
      if (!match.host.empty() && random.chance(0.05)) pool.tier.quarantine(match.host.back());
      if (random.chance(0.01)) pool.tier.clear();
      pool.tier.begin_step();
      ASSERT_EQ(pool.tier.check_invariants(), 0);
    }
    EXPECT_GT(n_found, 0u);
  }
}

}  // namespace
}  // namespace lockstep::testing
