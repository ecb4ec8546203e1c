// The index equals the nodes' caches after a million random events, and its memory falls with them.
#include "tests/unit/coordinator/index/kv_event_storm.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(KvEventStorm, AMillionEvents) {
  testing::KvEventStorm storm(8310, /*n_nodes=*/5, /*max_blocks=*/50'000);
  storm.run(600'000, /*p_store=*/0.8);
  storm.heal();
  EXPECT_EQ(storm.difference(), "");
  const size_t n_full = storm.n_resident(), n_bytes = storm.index().n_bytes();
  EXPECT_GT(n_full, 50'000u);
  EXPECT_LE(n_bytes, 32 * n_full);
  storm.run(400'000, /*p_store=*/0.2);  // the nodes shrink
  storm.heal();
  EXPECT_EQ(storm.difference(), "");
  EXPECT_LT(storm.n_resident(), n_full / 2);
  EXPECT_LT(storm.index().n_bytes(), n_bytes * 2 / 3);
  EXPECT_GE(storm.n_events(), 1'000'000u);
}

}  // namespace
}  // namespace lockstep
