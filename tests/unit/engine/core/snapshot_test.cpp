// EngineSnapshot: the states of the pool's blocks, as operators see them.
#include <gtest/gtest.h>

#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

TEST(EngineSnapshot, ReservedBlocksAreFreeButSpokenFor) {
  CoreHarness h(small_config());                       // 48 blocks of 4 tokens
  ASSERT_TRUE(h.accept(request_of(1, {10, 20}, 18)));  // 20 tokens: 5 blocks
  EXPECT_EQ(h.core.snapshot().n_blocks_reserved, 0) << "not admitted yet";
  ASSERT_TRUE(h.turn());
  const EngineSnapshot first = h.core.snapshot();
  EXPECT_EQ(first.n_blocks_active, 1);
  EXPECT_EQ(first.n_blocks_reserved, 4);
  EXPECT_EQ(first.n_blocks_free, 47);
  for (EngineSnapshot s = first; h.turn(); s = h.core.snapshot()) {
    EXPECT_EQ(s.n_blocks_active + s.n_blocks_reserved, 5);
  }
  h.expect_empty();
  EXPECT_EQ(h.core.snapshot().n_blocks_reserved, 0);
}

}  // namespace
}  // namespace lockstep::testing
