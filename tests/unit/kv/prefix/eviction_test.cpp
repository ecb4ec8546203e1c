// The order of eviction: childless entries first under every policy, then by the policy's key.
#include <gtest/gtest.h>

#include "tests/unit/kv/cached_pool.h"

namespace lockstep::testing {
namespace {

using std::chrono::seconds;

constexpr EvictionPolicy kAllPolicies[] = {EvictionPolicy::kLru, EvictionPolicy::kGdsf,
                                           EvictionPolicy::kPriority};

TEST(EvictionPolicy, NamesAreReadBack) {
  for (EvictionPolicy policy : kAllPolicies) {
    EXPECT_EQ(parse_eviction_policy(to_string(policy)), policy);
    EXPECT_NE(kEvictionPolicyNames.find(to_string(policy)), std::string_view::npos);
  }
  EXPECT_FALSE(parse_eviction_policy("LRU"));
  EXPECT_FALSE(parse_eviction_policy(""));
}

TEST(Eviction, PrefixesShrinkFromTheirEndsUnderEveryPolicy) {
  for (EvictionPolicy policy : kAllPolicies) {
    CachedPool pool(12, 4, policy);
    pool.leave(counting(0, 24));
    pool.leave(counting(0, 8) + counting(100, 16));
    for (size_t n_left = 10; n_left > 0; --n_left) {
      ASSERT_EQ(pool.cache.index().n_entries(), static_cast<int32_t>(n_left)) << to_string(policy);
      pool.evict(1);  // the index refuses to remove what has children
    }
  }
}

TEST(Eviction, LruTakesWhatWasLetGoOfFirst) {
  CachedPool pool(12, 4);
  pool.leave(counting(0, 8));
  pool.leave(counting(100, 8));
  pool.leave(counting(0, 8));  // again
  pool.evict(2);
  EXPECT_EQ(pool.n_found(counting(0, 8)), 2u);
  EXPECT_EQ(pool.n_found(counting(100, 8)), 0u);
}

TEST(Eviction, GdsfKeepsWhatIsUsedOften) {
  CachedPool pool(12, 4, EvictionPolicy::kGdsf);
  for (int i = 0; i < 3; ++i) pool.leave(counting(0, 8));
  pool.leave(counting(100, 8));
  pool.leave(counting(200, 8));
  pool.evict(4);
  EXPECT_EQ(pool.n_found(counting(0, 8)), 2u);
  EXPECT_EQ(pool.cache.index().n_entries(), 2);
}

TEST(Eviction, GdsfKeepsWhatIsCostlyToComputeAgain) {
  CachedPool pool(16, 4, EvictionPolicy::kGdsf);
  pool.cache.set_cost({.seconds_per_token = 1, .seconds_per_token_pair = 1});
  pool.leave(counting(0, 32));   // its last block comes after 28 tokens
  pool.leave(counting(100, 8));  // released later, but cheap to compute
  pool.evict(2);
  EXPECT_EQ(pool.n_found(counting(0, 32)), 8u);
  EXPECT_EQ(pool.n_found(counting(100, 8)), 0u);
}

TEST(Eviction, GdsfForgetsInTheEndWhatWasUsedOftenOnce) {
  CachedPool pool(4, 4, EvictionPolicy::kGdsf);
  for (int i = 0; i < 5; ++i) pool.leave(counting(0, 4));
  int n_others = 0;
  while (pool.n_found(counting(0, 4)) > 0 && n_others < 100) {
    pool.leave(counting(100 + 10 * n_others++, 4));
  }
  // Each round of three others advances the clock by the cost of one block, up to the worth of
  // five.
  EXPECT_GE(n_others, 8);
  EXPECT_LE(n_others, 20);
}

TEST(Eviction, ThePriorityDecidesAndThenTheAge) {
  CachedPool pool(12, 4, EvictionPolicy::kPriority);
  pool.leave(counting(0, 4), {}, 0, {.priority = 80});
  pool.leave(counting(100, 4), {}, 0, {.priority = 20});
  pool.leave(counting(200, 4));  // 50
  pool.leave(counting(300, 4));  // 50, later
  std::vector<int32_t> order;
  while (pool.pool.n_blocks_cached() > 0) {
    pool.evict(1);
    for (int32_t first : {0, 100, 200, 300}) {
      const bool is_gone = pool.n_found(counting(first, 4)) == 0;
      if (is_gone && std::ranges::find(order, first) == order.end()) order.push_back(first);
    }
  }
  EXPECT_EQ(order, (std::vector<int32_t>{100, 200, 300, 0}));
}

TEST(Eviction, APriorityRunsOut) {
  const Clock::TimePoint start = Clock::TimePoint() + seconds(1000);
  CachedPool pool(12, 4, EvictionPolicy::kPriority);
  pool.cache.advance(start);
  pool.leave(counting(0, 4), {}, 0, {.priority = 80, .until = start + seconds(10)});
  pool.leave(counting(100, 4));
  pool.leave(counting(200, 4));
  pool.cache.advance(start + seconds(9));
  pool.evict(1);
  EXPECT_EQ(pool.n_found(counting(0, 4)), 1u);
  EXPECT_EQ(pool.n_found(counting(100, 4)), 0u);
  pool.cache.advance(start + seconds(10));
  pool.evict(1);
  EXPECT_EQ(pool.n_found(counting(0, 4)), 0u);
  EXPECT_EQ(pool.n_found(counting(200, 4)), 1u);
}

TEST(Eviction, APriorityThatHasRunOutAlreadyIsTheDefault) {
  const Clock::TimePoint start = Clock::TimePoint() + seconds(1000);
  CachedPool pool(12, 4, EvictionPolicy::kPriority);
  pool.cache.advance(start);
  pool.leave(counting(0, 4), {}, 0, {.priority = 80, .until = start - seconds(1)});
  pool.leave(counting(100, 4));
  pool.evict(1);
  EXPECT_EQ(pool.n_found(counting(0, 4)), 0u);
}

TEST(Eviction, TheHighestOfTwoPrioritiesCounts) {
  CachedPool pool(12, 4, EvictionPolicy::kPriority);
  pool.leave(counting(0, 4), {}, 0, {.priority = 20});
  pool.leave(counting(0, 4), {}, 0, {.priority = 90});
  pool.leave(counting(0, 4), {}, 0, {.priority = 10});
  pool.leave(counting(100, 4), {}, 0, {.priority = 89});
  pool.evict(1);
  EXPECT_EQ(pool.n_found(counting(0, 4)), 1u);
}

TEST(Eviction, WhatIsReferencedStays) {
  CachedPool pool(8, 4);
  HeldSequence held = pool.begin(counting(0, 16));
  pool.leave(counting(100, 16));
  pool.evict(4);
  EXPECT_EQ(pool.n_found(counting(0, 16)), 4u);
  EXPECT_EQ(pool.pool.n_blocks_cached(), 0);
  pool.end(held);
}

}  // namespace
}  // namespace lockstep::testing
