// The index equals the nodes' caches after random events, losses, repeats, restarts and snapshots.
#include "tests/unit/coordinator/index/kv_event_storm.h"

#include <gtest/gtest.h>

#include <array>

namespace lockstep {
namespace {

TEST(KvEventStorm, TheIndexEqualsTheNodesWhateverWasLost) {
  std::array<uint64_t, kKvResyncCauses> n_resyncs{};
  for (const uint64_t seed : {8301u, 8302u, 8303u}) {
    testing::KvEventStorm storm(seed, /*n_nodes=*/4, /*max_blocks=*/2000);
    for (int i = 0; i < 4; ++i) {
      storm.run(10'000, /*p_store=*/i % 2 == 0 ? 0.6 : 0.3);
      storm.heal();
      EXPECT_EQ(storm.difference(), "");
    }
    for (size_t c = 0; c < n_resyncs.size(); ++c) n_resyncs[c] += storm.n_resyncs(KvResyncCause(c));
  }
  // What a network can do was done, and nothing was taken for a lie.
  using enum KvResyncCause;
  for (const auto cause : {kStart, kGap, kLag, kHistory, kNoAnswer}) {
    EXPECT_GT(n_resyncs[static_cast<size_t>(cause)], 0u) << cause_name(cause);
  }
  for (const auto cause : {kDigest, kUnknownBlock, kOverCapacity, kMalformed}) {
    EXPECT_EQ(n_resyncs[static_cast<size_t>(cause)], 0u) << cause_name(cause);
  }
}

}  // namespace
}  // namespace lockstep
