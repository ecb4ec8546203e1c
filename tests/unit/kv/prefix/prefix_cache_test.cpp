// PrefixCache: the blocks that sequences leave are found again, by whole blocks and by tokens.
#include "node/kv/prefix/prefix_cache.h"

#include <gtest/gtest.h>

#include <bit>

#include "tests/unit/kv/cached_pool.h"

namespace lockstep::testing {
namespace {

constexpr BlockId kNone = PrefixIndex::kNone;

TEST(PrefixCache, APromptIsMatchedToItsToken) {
  CachedPool pool(16, 4);
  pool.leave(counting(0, 12));  // blocks of 0-3, 4-7, 8-11
  const PrefixMatch all = pool.match(counting(0, 12), 12);
  EXPECT_EQ(all.entries.size(), 3u);
  EXPECT_EQ(all.partial, kNone);
  for (int32_t n = 0; n <= 12; ++n) {  // wherever the caller's limit lies
    const PrefixMatch match = pool.match(counting(0, 12), n);
    EXPECT_EQ(static_cast<int32_t>(match.entries.size()), n / 4);
    EXPECT_EQ(match.n_partial, n % 4);
    EXPECT_EQ(match.partial, n % 4 == 0 ? kNone : all.entries[static_cast<size_t>(n / 4)]);
  }
  for (int32_t n = 0; n < 12; ++n) {  // wherever the prompts part
    const PrefixMatch match = pool.match(counting(0, n) + Tokens(13, 99), n + 13);
    EXPECT_EQ(static_cast<int32_t>(match.entries.size()), n / 4);
    EXPECT_EQ(match.n_partial, n % 4);
  }
}

TEST(PrefixCache, APromptShorterThanABlockMatchesItsHead) {
  CachedPool pool(16, 8);
  pool.leave(counting(0, 8));
  EXPECT_EQ(pool.match(counting(0, 3), 2).n_partial, 2);
}

TEST(PrefixCache, BlocksOfOneTokenHaveNoHead) {
  CachedPool pool(16, 1);
  pool.leave(counting(0, 6));
  const PrefixMatch match = pool.match(counting(0, 4) + Tokens{9, 9}, 6);
  EXPECT_EQ(match.entries.size(), 4u);
  EXPECT_EQ(match.partial, kNone);
}

// The hash has no secret, so prompts can be made whose blocks all collide in one bucket. As many as
// a lookup may compare are inserted; the others are computed each time, and counted.
TEST(PrefixCache, PromptsMadeToHashAlikeDoNotLengthenALookup) {
  constexpr int32_t kFull = PrefixIndex::kMaxInBucket;
  constexpr int32_t kBlocks = 4 * kFull;
  CachedPool pool(kBlocks, 2);
  const uint64_t mask = std::bit_ceil(uint64_t{2 * kBlocks + 1}) - 1;
  const uint64_t root = prefix_hash(PrefixKey{});
  std::vector<Tokens> alike;
  for (int32_t t = 0; alike.size() < 2 * kFull; ++t) {
    if ((prefix_hash(root, Tokens{t, 1}) & mask) == 0) alike.push_back({t, 1});
  }
  for (const Tokens& prompt : alike) pool.leave(prompt + Tokens{5, 6});
  EXPECT_EQ(pool.cache.n_not_indexed(), static_cast<uint64_t>(kFull));
  for (size_t i = 0; i < alike.size(); ++i) {
    EXPECT_EQ(pool.n_found(alike[i]), i < kFull ? 1u : 0u) << i;
  }
  pool.evict(2 * kFull);  // all that is cached
  pool.leave(alike.back());
  EXPECT_EQ(pool.n_found(alike.back()), 1u);
}

TEST(PrefixCache, AnotherSaltHasNoPartial) {
  CachedPool pool(16, 4);
  pool.leave(counting(0, 8));
  EXPECT_EQ(pool.match(counting(0, 8), 7, {"salt"}).partial, kNone);
}

TEST(PrefixCache, WhatWasNeverHashedFindsNothing) {
  CachedPool pool(16, 4);
  pool.leave(counting(0, 8));
  PrefixMatch match;
  pool.cache.match(PrefixHashes(), counting(0, 8), 7, match);  // a request with cache_prompt: false
  EXPECT_TRUE(match.entries.empty());
  EXPECT_EQ(match.partial, kNone);
}

TEST(PrefixCache, AMatchForgetsTheOneBefore) {
  CachedPool pool(16, 4);
  pool.leave(counting(0, 8));
  PrefixMatch match = pool.match(counting(0, 8), 7);
  ASSERT_NE(match.partial, kNone);
  pool.cache.match(prefix_hashes({}, Tokens{50, 51}, 4), Tokens{50, 51}, 1, match);
  EXPECT_TRUE(match.entries.empty());
  EXPECT_EQ(match.partial, kNone);
  EXPECT_EQ(match.n_partial, 0);
}

TEST(PrefixCache, ABlockStaysWhileItsHeadIsCopied) {
  CachedPool pool(2, 4);
  pool.leave(counting(0, 8));
  const PrefixMatch match = pool.match(counting(0, 6), 6);
  ASSERT_EQ(match.n_partial, 2);
  BlockRef held = pool.cache.share_partial(match.partial);
  EXPECT_EQ(pool.pool.n_blocks_available(), 1);
  held = BlockRef();
  EXPECT_EQ(pool.pool.n_blocks_available(), 2);
  EXPECT_EQ(pool.cache.check_invariants(), 0);
}

}  // namespace
}  // namespace lockstep::testing
