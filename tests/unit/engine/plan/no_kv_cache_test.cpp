// Without a KV cache: the output is the same, each token costs a pass over the whole context, and
// no block is kept.
#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

EngineConfig uncached(int depth = 1) {
  EngineConfig config = small_config(depth);
  config.kv_cache = false;
  config.n_kv_blocks = config.limits.max_blocks_per_seq();
  return config;
}

// 20 + 9 rows with a KV cache; 20 + 21 + ... + 29 rows without one.
TEST(NoKvCache, EveryTokenCostsAPassOverAllBeforeIt) {
  for (bool kv_cache : {true, false}) {
    EngineConfig config = kv_cache ? small_config() : uncached();
    CoreHarness h(config);
    ASSERT_TRUE(h.accept(request_of(1, std::vector<int32_t>(20, 3), 10)));
    h.run();
    EXPECT_EQ(h.core.snapshot().n_query_rows, kv_cache ? 29u : 245u);
    EXPECT_EQ(h.core.snapshot().n_recomputed_tokens, 0u);
  }
}

TEST(NoKvCache, NothingIsFoundNothingIsKeptAndThereIsNoPool) {
  CoreHarness h(uncached(2));
  for (uint64_t id : {1, 2, 3}) {
    ASSERT_TRUE(h.accept(request_of(id, {1, 2, 3, 4, 5, 6, 7, 8, 9}, 4)));
    while (h.turn()) {
      EXPECT_EQ(h.core.snapshot().n_blocks_total, 0);
      EXPECT_LE(h.core.snapshot().n_running, 1);
    }
    EXPECT_EQ(h.ending(id).usage.cached_tokens, 0u);
    const BlockPool& pool = h.core.scheduler().pool();
    EXPECT_EQ(pool.n_blocks_free(), pool.n_blocks_total());
  }
}

TEST(NoKvCache, TheTokensAreThoseOfTheCache) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SeededRandom random(seed);
    CoreHarness with(small_config(2)), without(uncached(2));
    for (uint64_t id = 0; id < 6; ++id) {
      std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, 40)));
      for (int32_t& token : prompt) token = static_cast<int32_t>(random.integer(0, 60));
      GenerationRequest request =
          request_of(id, prompt, static_cast<int32_t>(random.integer(1, 20)));
      request.sampling.n = static_cast<int32_t>(random.integer(1, 2));
      request.priority = static_cast<int32_t>(random.integer(0, 1));
      ASSERT_TRUE(with.accept(request));
      ASSERT_TRUE(without.accept(request));
      for (int64_t i = random.integer(0, 4); i > 0; --i) without.turn();
    }
    with.run();
    without.run();
    EXPECT_EQ(with.sink.choices, without.sink.choices);
  }
}

}  // namespace
}  // namespace lockstep::testing
