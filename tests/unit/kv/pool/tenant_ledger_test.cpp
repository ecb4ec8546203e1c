// TenantLedger: the blocks of a floor are always available, no ceiling is exceeded, and evictions
// respect both.
#include "node/kv/pool/tenant_ledger.h"

#include <gtest/gtest.h>

#include <numeric>

#include "common/load_error.h"
#include "tests/support/random.h"
#include "tests/unit/kv/cached_pool.h"

namespace lockstep::testing {
namespace {

TEST(TenantLedger, OneWithoutLimitsMayTakeAll) {
  TenantLedger ledger(10, {});
  EXPECT_EQ(ledger.n_tenants(), 1);
  EXPECT_EQ(ledger.n_available(0), 10);
  ledger.take(0, 7);
  EXPECT_EQ(ledger.n_available(0), 3);
}

TEST(TenantLedger, AFloorIsKeptFreeForItsTenantOnly) {
  TenantLedger ledger(10, std::vector<TenantConfig>{{}, {.floor = 4}});
  EXPECT_EQ(ledger.n_available(0), 6);
  EXPECT_EQ(ledger.n_available(1), 10);
  ledger.take(1, 3);
  EXPECT_EQ(ledger.n_available(0), 6);
  ledger.take(1, 3);  // above its floor, so fewer are left for the others
  EXPECT_EQ(ledger.n_available(0), 4);
  ledger.take(0, 4);
  EXPECT_EQ(ledger.n_available(1), 0);
}

TEST(TenantLedger, ACeilingIsNotPassed) {
  TenantLedger ledger(10, std::vector<TenantConfig>{{}, {.ceiling = 3}});
  ledger.take(1, 2);
  EXPECT_EQ(ledger.n_available(1), 1);
  ledger.add_cached(1, 2);
  EXPECT_TRUE(ledger.is_over_ceiling(1));
  EXPECT_EQ(ledger.n_available(1), 1);  // the tenant may evict its own cached block
}

TEST(TenantLedger, LimitsThatCannotHoldAreRefused) {
  const auto make = [](std::vector<TenantConfig> tenants) { TenantLedger(10, tenants); };
  EXPECT_THROW(make({{.floor = 6}, {.floor = 5}}), LoadError);
  EXPECT_THROW(make({{.floor = 4, .ceiling = 3}}), LoadError);
  EXPECT_THROW(make({{.floor = -1}}), LoadError);
  EXPECT_NO_THROW(make({{.floor = 5}, {.floor = 5}}));
}

TEST(Tenants, AFloorKeepsWhatItsTenantHasCached) {
  CachedPool pool(8, 4, EvictionPolicy::kLru, {{}, {.floor = 3}});
  pool.leave(counting(0, 16), {}, 1);  // 4 blocks, one above the floor, and the oldest
  pool.leave(counting(100, 16), {}, 0);
  pool.leave(counting(200, 20), {}, 0);
  EXPECT_EQ(pool.pool.ledger().n_cached(1), 3);
  EXPECT_EQ(pool.n_found(counting(0, 16)), 3u);
  EXPECT_EQ(pool.n_found(counting(200, 20)), 5u);
}

TEST(Tenants, ATenantMayAlwaysEvictItsOwn) {
  CachedPool pool(4, 4, EvictionPolicy::kLru, {{}, {.floor = 4}});
  pool.leave(counting(0, 16), {}, 1);
  pool.leave(counting(100, 16), {}, 1);
  EXPECT_EQ(pool.n_found(counting(100, 16)), 4u);
}

TEST(Tenants, ATenantOverItsCeilingMakesRoomForItself) {
  CachedPool pool(8, 4, EvictionPolicy::kLru, {{}, {.ceiling = 4}});
  pool.leave(counting(0, 16), {}, 0);  // the oldest
  pool.leave(counting(100, 16), {}, 1);
  pool.leave(counting(200, 8), {}, 1);
  EXPECT_EQ(pool.n_found(counting(0, 16)), 4u);
  EXPECT_EQ(pool.n_found(counting(100, 16)), 2u);
}

TEST(Tenants, AChildlessEntryUnderAFloorGoesForWhatComesBeforeIt) {
  CachedPool pool(8, 4, EvictionPolicy::kLru, {{}, {.floor = 2}});
  pool.leave(counting(0, 8), {}, 0);
  HeldSequence held = pool.begin(counting(100, 16), {}, 0);
  // Tenant 1 shares the two blocks that tenant 0 holds, and adds two blocks after them.
  HeldSequence first = pool.begin(counting(0, 8), {}, 0);
  pool.leave(counting(0, 16), {}, 1);
  pool.end(first);
  ASSERT_EQ(pool.pool.ledger().n_cached(0), 2);
  ASSERT_EQ(pool.pool.ledger().n_cached(1), 2);
  // Two blocks may be evicted for tenant 0, but the childless ones are tenant 1's.
  pool.evict(2, 0);
  EXPECT_EQ(pool.n_found(counting(0, 16)), 2u);
  EXPECT_EQ(pool.pool.ledger().n_cached(1), 2);
  EXPECT_EQ(pool.pool.ledger().n_cached(0), 0);
  pool.end(held);
}

}  // namespace
}  // namespace lockstep::testing
