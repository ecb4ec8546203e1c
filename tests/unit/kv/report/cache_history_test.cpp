// CacheHistory: evictions are remembered, and counted as regret when the block is computed again.
#include "node/kv/report/cache_history.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/unit/kv/cached_pool.h"

namespace lockstep::testing {
namespace {

struct Remembered {
  explicit Remembered(int32_t n_blocks, int32_t n_remembered = 1000)
      : pool(n_blocks, 4), history(n_remembered, clock) {
    pool.cache.add_sink(history);
  }
  FakeClock clock;
  CachedPool pool;
  CacheHistory history;
};

TEST(CacheHistory, WhatIsComputedAgainAfterAnEvictionIsRegretted) {
  Remembered r(3);
  r.pool.leave(counting(0, 12));
  EXPECT_EQ(r.history.n_regret_tokens(), 0u);
  r.pool.leave(counting(100, 8));  // evicts two of three blocks
  EXPECT_EQ(r.history.n_regret_tokens(), 0u);
  r.pool.leave(counting(0, 12));
  EXPECT_EQ(r.history.n_regret_tokens(), 8u);  // the first block was still there
  r.pool.leave(counting(0, 12));
  EXPECT_EQ(r.history.n_regret_tokens(), 8u);
}

TEST(CacheHistory, AnEvictionHasATimeUntilTheBlockIsBack) {
  Remembered r(1);
  r.pool.leave(counting(0, 4));
  const uint64_t hash = prefix_hashes({}, counting(0, 4), 4).blocks[0];
  EXPECT_FALSE(r.history.evicted_at(hash));
  r.clock.advance(std::chrono::seconds(5));
  r.pool.leave(counting(100, 4));
  EXPECT_EQ(r.history.evicted_at(hash), r.clock.now());
  r.pool.leave(counting(0, 4));
  EXPECT_FALSE(r.history.evicted_at(hash));
}

TEST(CacheHistory, MoreEvictionsThanAreRememberedTakeEachOthersPlaces) {
  Remembered r(1, 1);
  for (int32_t i = 0; i < 200; ++i) r.pool.leave(counting(10 * i, 4));
  int n_known = 0;
  for (int32_t i = 0; i < 200; ++i) {
    const uint64_t hash = prefix_hashes({}, counting(10 * i, 4), 4).blocks[0];
    n_known += r.history.evicted_at(hash).has_value();
  }
  EXPECT_GE(n_known, 1);
  EXPECT_LE(n_known, 4);
}

}  // namespace
}  // namespace lockstep::testing
