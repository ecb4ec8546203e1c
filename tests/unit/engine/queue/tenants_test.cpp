// Tenants and priorities: which requests are served first, which blocks are kept for a tenant, and
// that no token depends on either.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/engine/queue/fair_share.h"
#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FairShare, TurnsAreOfAQuantumTimesTheWeight) {
  FairShare share({1, 2});
  const std::vector<uint8_t> both = {1, 1};
  std::vector<int32_t> n_served(2, 0);
  for (int i = 0; i < 600; ++i) {
    const int tenant = share.next(both);
    share.charge(tenant, 10);
    n_served[static_cast<size_t>(tenant)] += 10;
  }
  EXPECT_NEAR(n_served[1], 2 * n_served[0], 3 * FairShare::kQuantum);
}

TEST(FairShare, ATenantWithNothingToDoSavesNothingUp) {
  FairShare share({1, 1});
  const std::vector<uint8_t> first = {1, 0}, both = {1, 1};
  for (int i = 0; i < 100; ++i) {
    share.charge(share.next(first), FairShare::kQuantum);
  }
  int n_second = 0;
  for (int i = 0; i < 100; ++i) {
    const int tenant = share.next(both);
    share.charge(tenant, FairShare::kQuantum);
    n_second += tenant;
  }
  EXPECT_NEAR(n_second, 50, 1);
  EXPECT_EQ(share.next(std::vector<uint8_t>{0, 0}), -1);
}

EngineConfig config_with(std::vector<TenantConfig> others, int32_t n_kv_blocks = 48) {
  EngineConfig config = small_config();
  config.n_kv_blocks = n_kv_blocks;
  for (TenantConfig& tenant : others) config.tenants.push_back(std::move(tenant));
  return config;
}

GenerationRequest of_tenant(int32_t tenant, GenerationRequest request) {
  request.tenant = tenant;
  return request;
}

// Ten long prompts of one tenant arrive first; the other tenant's short one does not wait for them.
TEST(Tenants, ALongLineOfOneDoesNotHoldUpTheOther) {
  EngineConfig config = config_with({{.name = "b"}}, 400);
  config.limits.max_tokens = 128;
  CoreHarness h(config);
  for (uint64_t id = 0; id < 10; ++id) {
    std::vector<int32_t> prompt(60, static_cast<int32_t>(id));
    ASSERT_TRUE(h.accept(request_of(id, prompt, 4)));
  }
  ASSERT_TRUE(h.accept(of_tenant(1, request_of(100, {1, 2, 3}, 1))));
  h.turn();
  EXPECT_TRUE(h.sink.ends.contains(RequestId{100}));
  h.run();
}

TEST(Tenants, APriorityIsServedBeforeAllOthers) {
  EngineConfig config = config_with({{.name = "b"}});
  config.limits.max_seqs = config.limits.max_samples = 1;
  CoreHarness h(config);
  std::vector<uint64_t> order;
  h.sink.after = [&](const EventBatch& batch) {
    for (const RequestEnd& end : batch.ends) order.push_back(static_cast<uint64_t>(end.request));
  };
  const auto ask = [&](uint64_t id, int32_t tenant, int32_t priority) {
    GenerationRequest request = of_tenant(tenant, request_of(id, {1, 2, 3}, 2));
    request.priority = priority;
    ASSERT_TRUE(h.accept(std::move(request)));
  };
  ask(1, 0, 3);
  ask(2, 1, 1);
  ask(3, 0, 1);
  ask(4, 0, 0);
  h.run();
  EXPECT_THAT(order, ElementsAre(4, ::testing::AnyOf(2, 3), ::testing::AnyOf(2, 3), 1));
}

TEST(Tenants, WhatNeverFitsBesideOthersFloorsIsRefused) {
  CoreHarness h(config_with({{.name = "b", .floor = 40}, {.name = "c", .ceiling = 4}}));
  const Admission admission(h.config.limits, h.config.n_kv_blocks, h.tokenizer, h.config.tenants);
  GenerationRequest request = request_of(1, std::vector<int32_t>(33, 1), 1);  // 9 blocks of 4
  const Status refused = admission.check(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kRequestExceedsKvPool);
  EXPECT_THAT(refused.error().message, HasSubstr("of which its tenant may have 8"));
  request.tenant = 1;
  EXPECT_TRUE(admission.check(request));
  request.tenant = 2;
  EXPECT_FALSE(admission.check(request));
}

// The other tenant's floor stays free for it, so it is served at once.
TEST(Tenants, AFloorIsThereWhenItIsWanted) {
  CoreHarness h(config_with({{.name = "b", .floor = 6}}, 20));
  for (uint64_t id = 0; id < 3; ++id) {
    ASSERT_TRUE(h.accept(request_of(id, std::vector<int32_t>(16, int32_t(id)), 40)));
  }
  for (int i = 0; i < 4; ++i) h.turn();
  ASSERT_TRUE(h.accept(of_tenant(1, request_of(9, std::vector<int32_t>(18, 7), 2))));
  h.turn();
  h.turn();
  EXPECT_EQ(h.core.scheduler().waiting().of(1).size(), 0u);
  h.run();
}

// The first waiting sequence lacks blocks that others hold; its own tenant's limit has room.
TEST(Tenants, ASequenceThatWaitsForBlocksOfOthersIsNotOvertakenInItsQueue) {
  CoreHarness h(config_with({{.name = "b"}}, 8));  // 32 tokens
  const auto ask = [&](uint64_t id, int32_t tenant, size_t n_prompt, int32_t max_tokens) {
    const std::vector<int32_t> prompt(n_prompt, static_cast<int32_t>(id));
    ASSERT_TRUE(h.accept(of_tenant(tenant, request_of(id, prompt, max_tokens))));
  };
  ask(1, 1, 10, 10);  // 5 blocks
  h.turn();
  ask(2, 0, 10, 6);  // 4 blocks: not now
  ask(3, 0, 2, 2);   // 1 block: would fit
  while (!h.sink.ends.contains(RequestId{1})) {
    EXPECT_EQ(h.core.snapshot().n_running, 1);
    ASSERT_TRUE(h.turn());
  }
  h.run();
  EXPECT_EQ(h.sink.ends.size(), 3u);
}

// A tenant at its ceiling waits for its own requests; the other tenant's requests run.
TEST(Tenants, ACeilingHoldsUpNoOtherTenant) {
  CoreHarness h(config_with({{.name = "b", .ceiling = 8}, {.name = "c"}}));
  for (uint64_t id = 0; id < 4; ++id) {
    ASSERT_TRUE(h.accept(of_tenant(1, request_of(id, std::vector<int32_t>(16, int32_t(id)), 8))));
  }
  ASSERT_TRUE(h.accept(of_tenant(2, request_of(9, {1, 2, 3}, 2))));
  for (int i = 0; i < 2; ++i) h.turn();  // one request of b has taken all blocks that b may have
  EXPECT_EQ(h.core.scheduler().waiting().of(1).size(), 3u);
  EXPECT_EQ(h.core.scheduler().waiting().of(2).size(), 0u);
  bool is_served = false;
  while (h.turn()) {
    is_served |= h.sink.ends.contains(RequestId{9});
    EXPECT_LE(h.core.scheduler().pool().ledger().n_used(1), 8);
    EXPECT_TRUE(is_served || h.sink.ends.size() < 2);
  }
  EXPECT_EQ(h.sink.ends.size(), 5u);
}

TEST(Tenants, LimitsNeverShowInATokenAndNoTenantStarves) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SeededRandom random(seed);
    const auto blocks = [&](int64_t n) { return static_cast<int32_t>(random.integer(0, n)); };
    EngineConfig config = config_with(
        {{.name = "b", .floor = blocks(6), .weight = 3}, {.name = "c", .ceiling = 12 + blocks(8)}},
        30);
    config.max_steps_in_flight = static_cast<int>(random.integer(1, 2));
    config.max_preemptions = static_cast<int32_t>(random.integer(0, 2));
    CoreHarness h(config);
    CoreHarness solo(small_config());
    for (uint64_t id = 0; id < 20; ++id) {
      std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, 20)), 5);
      prompt.back() = static_cast<int32_t>(random.integer(0, 3));
      GenerationRequest request =
          request_of(id, prompt, static_cast<int32_t>(random.integer(1, 20)));
      request.tenant = static_cast<int32_t>(random.integer(0, 2));
      request.priority = static_cast<int32_t>(random.integer(0, 1));
      ASSERT_TRUE(h.accept(request));
      for (int64_t i = random.integer(0, 4); i > 0; --i) h.turn();
      request.tenant = 0;
      ASSERT_TRUE(solo.accept(std::move(request)));
      solo.run();
    }
    h.run();
    EXPECT_EQ(h.sink.choices, solo.sink.choices);
    EXPECT_EQ(h.core.snapshot().n_failed, 0u);
  }
}

}  // namespace
}  // namespace lockstep::testing
