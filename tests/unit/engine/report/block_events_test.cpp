// Block events of an engine that shares, extends and evicts at random: a reader that applies them,
// and takes a snapshot when it missed some, has what the prefix cache has.
#include <gtest/gtest.h>

#include "tests/support/block_receiver.h"
#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep {
namespace {

using testing::BlockReceiver;
using testing::CoreHarness;
using testing::request_of;
using testing::resident_blocks;
using testing::SeededRandom;

// A prompt with one of a few shared prefixes and a random rest.
GenerationRequest random_request(uint64_t id, SeededRandom& random) {
  std::vector<int32_t> prompt;
  const auto system = static_cast<int32_t>(random.integer(0, 3));
  const auto n_shared = random.integer(1, 24);
  for (int64_t i = 0; i < n_shared; ++i) prompt.push_back(system + static_cast<int32_t>(i % 7));
  const auto n_own = random.integer(0, 16);
  for (int64_t i = 0; i < n_own; ++i) prompt.push_back(static_cast<int32_t>(random.integer(0, 99)));
  GenerationRequest request =
      request_of(id, std::move(prompt), static_cast<int32_t>(random.integer(1, 12)));
  if (random.chance(0.3)) request.sampling.cache_salt = random.chance(0.5) ? "a" : "b";
  return request;
}

struct FollowedCore {
  explicit FollowedCore(size_t max_batches) : log(max_batches), harness(config(log)) {}
  static EngineConfig config(BlockEventLog& log) {
    EngineConfig config = testing::small_config();
    config.n_kv_blocks = 24;  // evicts all the time
    config.block_events = &log;
    return config;
  }
  const PrefixIndex& index() const { return harness.core.scheduler().cache().index(); }

  BlockEventLog log;
  CoreHarness harness;
};

void follow_random_load(uint64_t seed, size_t max_batches, double loss) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  FollowedCore node(max_batches);
  BlockReceiver receiver(4);
  uint64_t n_healed = 0, next_id = 1;
  for (int turn = 0; turn < 400; ++turn) {
    if (random.chance(0.4)) {
      ASSERT_TRUE(node.harness.accept(random_request(next_id++, random)));
    }
    node.harness.turn();
    if (random.chance(0.3)) continue;  // the reader is slower than the engine
    bool missed = false;
    for (const BlockEventBatch& batch : node.log.take()) {
      if (random.chance(loss)) continue;
      missed = missed || !receiver.apply(batch);
    }
    // A lost tail shows in the heartbeat's number.
    missed = missed || receiver.next_seq() != node.log.state().n_batches;
    if (missed) {
      receiver.heal(copy_resident_blocks(node.index(), node.log.state()), 5);
      ++n_healed;
    }
    ASSERT_EQ(receiver.digest(), node.log.state().digest) << "turn " << turn;
    ASSERT_EQ(receiver.blocks(), resident_blocks(node.index())) << "turn " << turn;
  }
  const BlockEventCounts counts = node.log.counts();
  EXPECT_GT(counts.n_removed, 0u) << "nothing was evicted";
  EXPECT_EQ(counts.n_stored - counts.n_removed, static_cast<uint64_t>(node.index().n_entries()));
  EXPECT_EQ(n_healed > 0, loss > 0 || counts.n_batches_dropped > 0);
  node.harness.run();
}

TEST(BlockEventsOfAnEngine, AReceiverOfAllHasWhatTheCacheHas) {
  for (uint64_t seed = 1; seed <= 5; ++seed) follow_random_load(seed, 4096, 0);
}

TEST(BlockEventsOfAnEngine, AReceiverThatMissesSomeIsHealedByASnapshot) {
  for (uint64_t seed = 11; seed <= 15; ++seed) follow_random_load(seed, 4096, 0.1);
}

TEST(BlockEventsOfAnEngine, AFullMailboxIsHealedByASnapshot) {
  for (uint64_t seed = 21; seed <= 25; ++seed) follow_random_load(seed, 1, 0);
}

TEST(BlockEventsOfAnEngine, WithoutAPrefixCacheNothingIsReported) {
  BlockEventLog log;
  EngineConfig config = testing::small_config();
  config.prefix_cache = false;
  config.block_events = &log;
  CoreHarness harness(config);
  ASSERT_TRUE(harness.accept(request_of(1, std::vector<int32_t>(20, 3), 8)));
  harness.run();
  EXPECT_EQ(log.state().n_batches, 0u);
}

}  // namespace
}  // namespace lockstep
