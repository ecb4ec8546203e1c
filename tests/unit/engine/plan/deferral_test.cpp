// Requests that are deferred for a prefix that another one computes: what they cost a plan, and
// that none is forgotten.
#include <gtest/gtest.h>

#include "node/engine/plan/admission_planner.h"
#include "node/engine/report/cache_control.h"
#include "tests/support/tokens.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kSystem = 8192, kRows = 512, kSeqs = 16;

EngineConfig config_of(int depth) {
  EngineConfig config = small_config(depth);
  config.limits.max_tokens = kRows;
  config.limits.max_seqs = config.limits.max_samples = kSeqs;
  config.limits.max_banned = kSeqs * (1 + kMaxStopTokenIds);
  config.limits.max_model_len = 2 * kSystem + 400;
  config.limits.block_size = 16;
  config.n_kv_blocks = 1300;
  return config;
}

// Request 0 is much longer than the others, so they are considered while it is being computed.
std::vector<int32_t> prompt_of(uint64_t id) {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < kSystem; ++i) prompt.push_back(i * 7 % 200);
  for (uint64_t digit = id; prompt.size() < kSystem + 4; digit /= 10) {
    prompt.push_back(200 + static_cast<int32_t>(digit % 10));
  }
  if (id == 0) prompt.resize(2 * kSystem + 300, 7);
  return prompt;
}

struct Deferrals : ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Depths, Deferrals, ::testing::Values(1, 2));

TEST_P(Deferrals, APlanLooksUpAsManyPromptsHoweverManyWaitForAPrefix) {
  constexpr uint64_t kRequests = 1000;
  EngineConfig config = config_of(GetParam());
  config.limits.max_tokens = kRows / 2;  // the prefix takes 32 steps
  CoreHarness h(config);
  for (uint64_t id = 0; id < kRequests; ++id) {
    ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 1)));
  }
  uint64_t n_before = h.core.cache().n_matches();
  const uint64_t n_at_first = n_before;
  for (bool goes_on = true; goes_on;) {
    h.core.start();
    h.core.finish();
    goes_on = !h.core.idle();
    const uint64_t n_matches = h.core.cache().n_matches();
    ASSERT_LE(n_matches - n_before, kMaxDeferralsPerStep + kSeqs + 1);
    n_before = n_matches;
  }
  // One lookup when it is deferred, one when it is admitted, and one that finds no room.
  EXPECT_LE(n_before - n_at_first, 2 * kRequests + h.core.snapshot().n_steps);
  EXPECT_EQ(h.core.snapshot().n_length, kRequests);
  EXPECT_GE(h.core.snapshot().n_cached_tokens, (kRequests - 1) * kSystem);
  EXPECT_EQ(check_invariants(h.core.scheduler(), true), 0);
}

// While the leader is computing, plans do not look deferred sequences up again.
TEST_P(Deferrals, ADeferredSequenceIsNotLookedUpUntilItIsServed) {
  CoreHarness h(config_of(GetParam()));
  for (uint64_t id = 0; id < 10; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 1)));
  h.turn();
  const uint64_t n_matches = h.core.cache().n_matches();
  for (int i = 0; i < 12; ++i) h.turn();  // of the 16 that the prefix takes
  EXPECT_EQ(h.core.cache().n_matches(), n_matches);
  EXPECT_EQ(h.core.scheduler().waiting().deferred().n_sequences(), 9);
  h.run();
}

TEST_P(Deferrals, NoSequenceIsForgottenWhenLeadersEnd) {
  CoreHarness h(config_of(GetParam()));
  for (uint64_t id = 0; id < 8; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 2)));
  for (uint64_t id = 0; id < 4; ++id) {  // one leader after the other
    for (int i = 0; i < 3; ++i) h.turn();
    h.core.cancel(RequestId{id});
  }
  h.run();
  for (uint64_t id = 4; id < 8; ++id) EXPECT_EQ(h.ending(id).reason, FinishReason::kLength);
  EXPECT_LT(h.core.snapshot().n_query_rows, uint64_t{3 * kSystem}) << "each began at nothing";
}

TEST_P(Deferrals, ASequenceCancelledWhileItIsDeferredIsGone) {
  CoreHarness h(config_of(GetParam()));
  for (uint64_t id = 0; id < 3; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 2)));
  h.turn();
  ASSERT_EQ(h.core.scheduler().waiting().deferred().n_sequences(), 2);
  h.core.cancel(RequestId{1});
  EXPECT_EQ(h.core.scheduler().waiting().deferred().n_sequences(), 1);
  EXPECT_EQ(h.core.scheduler().waiting().n_new_requests(), 1);
  EXPECT_EQ(list_slots(h.core).size(), 2u);
  h.run();
  EXPECT_EQ(h.ending(1).reason, FinishReason::kCancelled);
  EXPECT_EQ(h.ending(2).reason, FinishReason::kLength);
}

// A leader whose keys are not finite publishes no more blocks: its followers return at once.
TEST_P(Deferrals, ALeaderThatPublishesNoMoreIsNotWaitedFor) {
  const EngineConfig config = config_of(GetParam());
  NullExecutor::Options options = executor_options(config);
  options.unsound_token = 255;
  CoreHarness h(config, options);
  for (uint64_t id : {0, 1}) {
    std::vector<int32_t> prompt = prompt_of(id);
    prompt[700] = 255;
    ASSERT_TRUE(h.accept(request_of(id, prompt, 1)));
  }
  for (int i = 0; i < GetParam(); ++i) h.turn();
  EXPECT_EQ(h.core.scheduler().waiting().deferred().n_sequences(), 1);
  h.turn();
  EXPECT_EQ(h.core.scheduler().waiting().deferred().n_sequences(), 0);
  h.run();
  EXPECT_EQ(h.ending(1).usage.cached_tokens, uint64_t{kRows});
}

// A prefix takes longer than kMaxStepsDeferred: the sequence then continues with what is cached.
TEST_P(Deferrals, NoSequenceWaitsForLongerThanTheBound) {
  EngineConfig config = config_of(GetParam());
  config.limits.max_tokens = 32;  // 256 steps
  CoreHarness h(config);
  for (uint64_t id = 0; id < 3; ++id) ASSERT_TRUE(h.accept(request_of(id, prompt_of(id), 1)));
  for (int i = 0; i < Scheduler::kMaxStepsDeferred - 1; ++i) h.turn();
  EXPECT_EQ(h.core.scheduler().waiting().deferred().n_sequences(), 2);
  for (int i = 0; i < 3; ++i) h.turn();
  EXPECT_EQ(h.core.scheduler().waiting().deferred().n_sequences(), 0);
  h.run();
  for (uint64_t id = 0; id < 3; ++id) EXPECT_EQ(h.ending(id).reason, FinishReason::kLength);
}

}  // namespace
}  // namespace lockstep::testing
