// Paging: a pool has no external fragmentation. Whatever was freed, in any order, one sequence can
// use all of it at once, and no block is moved.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kBlockSize = 16, kSequences = 64;

EngineConfig paged(bool prefix_cache) {
  EngineConfig config;
  config.limits = {.max_tokens = 8192,
                   .max_seqs = kSequences + 1,
                   .max_samples = kSequences + 1,
                   .max_model_len = 8192,
                   .block_size = kBlockSize,
                   .max_banned = max_banned_ids(kSequences + 1, FakeTokenizer())};
  config.n_kv_blocks = 600;
  config.reservation = ReservationMode::kGuaranteed;  // so that what is not reserved is to be had
  config.prefix_cache = prefix_cache;
  return config;
}

// A prompt that shares no prefix with others.
GenerationRequest any_request(SeededRandom& random, uint64_t id) {
  std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, 90)));
  for (int32_t& token : prompt) token = static_cast<int32_t>(random.integer(0, 255));
  prompt.front() = static_cast<int32_t>(id);
  return request_of(id, std::move(prompt), static_cast<int32_t>(random.integer(40, 60)));
}

// Slots of allocated blocks without a computed or planned token: at most a block less one per
// sequence.
void expect_little_waste(const CoreHarness& h) {
  for (const Sequence* sequence : h.core.scheduler().running()) {
    const int64_t n_unused = sequence->table().n_slots() - int64_t{sequence->next_position()};
    EXPECT_GE(n_unused, 0);
    EXPECT_LT(n_unused, kBlockSize);
  }
}

class Paging : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(PrefixCache, Paging, ::testing::Bool());

TEST_P(Paging, OneSequenceCanHaveEveryFreeBlockAtOnce) {
  SeededRandom random(28);
  CoreHarness h(paged(GetParam()));
  int32_t n_copies = 0;
  h.executor.on_submit = [&](const StepPlanView& plan) { n_copies += plan.header().n_copies; };
  for (uint64_t id = 0; id < kSequences; ++id) ASSERT_TRUE(h.accept(any_request(random, id)));
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(h.turn());
    expect_little_waste(h);
  }
  ASSERT_EQ(h.core.scheduler().running().size(), static_cast<size_t>(kSequences));
  std::vector<uint64_t> ids(kSequences);
  for (uint64_t id = 0; id < kSequences; ++id) ids[id] = id;
  std::ranges::shuffle(ids, random.engine());
  for (size_t i = 0; i < kSequences / 2; ++i) h.core.cancel(RequestId{ids[i]});

  const int32_t n_blocks = h.core.scheduler().pool().n_blocks_available();
  ASSERT_GT(n_blocks, 200);
  const std::vector<int32_t> prompt(static_cast<size_t>(n_blocks * kBlockSize - 30), 255);
  ASSERT_TRUE(h.accept(request_of(1000, prompt, 30)));
  h.core.start();
  EXPECT_EQ(h.core.snapshot().n_running, kSequences / 2 + 1);
  EXPECT_EQ(h.core.scheduler().pool().n_blocks_available(), 0);
  h.core.finish();
  EXPECT_EQ(h.choice(1000).ids.size(), 1u);  // its prompt was forwarded in the same step
  h.run();
  EXPECT_EQ(h.choice(1000).ids.size(), 30u);
  const EngineSnapshot s = h.core.snapshot();
  EXPECT_EQ(s.n_failed, 0u);
  EXPECT_EQ(s.n_preemptions, 0u);
  EXPECT_EQ(n_copies, 0);
}

}  // namespace
}  // namespace lockstep::testing
