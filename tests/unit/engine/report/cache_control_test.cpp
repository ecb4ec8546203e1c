// Clearing the prefix cache of a running engine, and listing its sequences and their blocks.
#include "node/engine/report/cache_control.h"

#include <gtest/gtest.h>

#include "tests/support/tokens.h"
#include "tests/unit/engine/harness.h"

namespace lockstep {
namespace {

using testing::CoreHarness;
using testing::counting;
using testing::request_of;

// Block size 4; "gold" is tenant 1.
EngineConfig config() {
  EngineConfig config = testing::small_config();
  config.tenants.push_back({.name = "gold"});
  return config;
}

struct CacheControl : ::testing::Test {
  void run(std::vector<int32_t> prompt, const std::string& salt = {}, int32_t tenant = 0) {
    start(std::move(prompt), 1, salt, tenant);
    node.run();
  }
  void start(std::vector<int32_t> prompt, int32_t max_tokens, const std::string& salt = {},
             int32_t tenant = 0) {
    GenerationRequest request = request_of(++last_id, std::move(prompt), max_tokens);
    request.sampling.cache_salt = salt;
    request.tenant = tenant;
    ASSERT_TRUE(node.accept(std::move(request)));
  }
  int32_t n_cached() const { return node.core.snapshot().n_blocks_cached; }

  CoreHarness node{config()};
  uint64_t last_id = 0;
};

TEST_F(CacheControl, AnIdleEngineFreesAllThatIsCached) {
  run(counting(1, 20));
  run(counting(1, 33));
  run(counting(50, 9), "acme");
  const int32_t before = n_cached();
  ASSERT_GT(before, 0);
  const ClearedCache cleared = clear_kv_cache(node.core, {});
  EXPECT_EQ(cleared.n_cleared, before);
  EXPECT_EQ(cleared.n_busy, 0);
  EXPECT_TRUE(cleared.busy.empty());
  EXPECT_EQ(n_cached(), 0);
  EXPECT_EQ(node.core.snapshot().n_blocks_free, 48);
  EXPECT_EQ(node.core.snapshot().n_blocks_evicted, 0u) << "nobody needed room";
  EXPECT_EQ(clear_kv_cache(node.core, {}).n_cleared, 0);
  EXPECT_EQ(check_invariants(node.core.scheduler(), true), 0);
}

TEST_F(CacheControl, BlocksInUseStayAndAreListed) {
  run(counting(50, 12));
  start(counting(1, 10), 20);
  for (int i = 0; i < 5; ++i) node.turn();
  const ClearedCache cleared = clear_kv_cache(node.core, {});
  EXPECT_EQ(cleared.n_cleared, 3);
  ASSERT_EQ(cleared.busy.size(), 1u);
  EXPECT_EQ(cleared.busy[0].request, RequestId{2});
  EXPECT_EQ(cleared.busy[0].state, SeqState::kDecoding);
  EXPECT_GE(cleared.busy[0].n_blocks, 3);
  EXPECT_GE(cleared.n_busy, cleared.busy[0].n_blocks);
  EXPECT_EQ(check_invariants(node.core.scheduler(), true), 0);
  node.run();
  EXPECT_EQ(node.ending(2).reason, FinishReason::kLength);
  EXPECT_EQ(node.choice(2).ids.size(), 20u);
}

TEST_F(CacheControl, ASaltOrATenantIsClearedAlone) {
  run(counting(1, 12), "acme");
  run(counting(1, 12), "tea");
  run(counting(60, 20), {}, 1);
  ASSERT_EQ(n_cached(), 3 + 3 + 5);
  EXPECT_EQ(clear_kv_cache(node.core, {.salt = "acme", .tenant = {}}).n_cleared, 3);
  EXPECT_EQ(clear_kv_cache(node.core, {.salt = "", .tenant = {}}).n_cleared, 5);
  EXPECT_EQ(n_cached(), 3);
  EXPECT_EQ(clear_kv_cache(node.core, {.salt = {}, .tenant = 1}).n_cleared, 0);
  EXPECT_EQ(clear_kv_cache(node.core, {.salt = {}, .tenant = 0}).n_cleared, 3);
  EXPECT_EQ(check_invariants(node.core.scheduler(), true), 0);
}

TEST_F(CacheControl, SlotsAreRunningOnesThenWaitingOnes) {
  for (int i = 0; i < 6; ++i) start(counting(40 * i + 1, 6), 8);
  node.turn();
  const std::vector<SlotInfo> slots = list_slots(node.core);
  ASSERT_EQ(slots.size(), 6u);
  EXPECT_EQ(slots[0].request, RequestId{1});
  EXPECT_NE(slots[0].state, SeqState::kWaiting);
  EXPECT_EQ(slots[0].n_prompt, 6);
  EXPECT_EQ(slots[0].n_computed, 6);
  EXPECT_EQ(slots[0].n_output, 1);
  EXPECT_EQ(slots[5].request, RequestId{6});
  EXPECT_EQ(slots[5].state, SeqState::kWaiting);
  EXPECT_EQ(slots[5].n_blocks, 0);
  node.run();
  EXPECT_TRUE(list_slots(node.core).empty());
}

}  // namespace
}  // namespace lockstep
