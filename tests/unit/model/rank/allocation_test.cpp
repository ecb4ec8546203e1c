// The step loop does not allocate: after warm-up a step allocates no memory on the ranks' threads
// or the caller's. Allocations are counted by replacing this executable's operator new.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "node/model/rank/rank_group.h"
#include "tests/support/counting_new.h"
#include "tests/support/fake_model_file.h"

namespace lockstep {
namespace {

struct Case {
  int n_ranks;
  Isa isa;
  WeightType type;
};

class StepAllocation : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Groups, StepAllocation,
                         ::testing::Values(Case{1, best_isa(), WeightType::kQ4_1},
                                           Case{2, best_isa(), WeightType::kQ4_1},
                                           Case{2, best_isa(), WeightType::kF32},
                                           Case{1, Isa::kPortable, WeightType::kQ8_0}));

// Runs a step of one chunk, which is longer from step to step, and of two decodes that sample with
// every feature on.
std::span<const std::byte> mixed_plan(StepPlanBuilder& builder, uint64_t step) {
  const std::array<int32_t, 24> chunk{1, 2, 3, 4};
  builder.begin(step);
  for (int32_t slot = 0; slot < 3; ++slot) {
    const std::array<BlockId, 2> blocks{BlockId{2 * slot}, BlockId{2 * slot + 1}};
    const size_t n = slot == 0 ? 4 + step : 1;
    builder.add_sequence(slot, 0, std::span(chunk).first(n), blocks);
    const std::array<int32_t, 2> banned{3, 4};
    SamplingRow row{.temperature = 0.8f,
                    .top_p = 0.9f,
                    .min_p = 0.01f,
                    .repetition_penalty = 1.1f,
                    .presence_penalty = 0.1f,
                    .top_k = slot * 10,
                    .n_logprobs = 5,
                    .seed = 7,
                    .seq_slot = slot,
                    .n_prompt = static_cast<int32_t>(n),
                    .n_known = static_cast<int32_t>(n),
                    .min_tokens_left = 1};
    builder.add_sample(row, banned);
  }
  return builder.finish();
}

TEST_P(StepAllocation, AWarmStepTakesNoMemoryOnAnyThread) {
  testing::FakeModelSpec spec;
  spec.matrices = GetParam().type;
  const testing::FakeModelFile file(spec);
  RankGroupConfig config;
  config.n_ranks = GetParam().n_ranks;
  config.isa = GetParam().isa;
  config.threads_per_rank = 2;
  config.limits = {.max_tokens = 32, .max_seqs = 4, .max_samples = 4, .max_model_len = 32};
  config.limits.max_banned = 8;
  config.n_kv_blocks = 8;
  MemoryLedger ledger;
  RankGroup group(file, config, ledger);
  StepPlanBuilder builder(config.limits);
  StepResult result;
  for (uint64_t step = 1; step <= 20; ++step) {
    if (step == 5) testing::is_counting_all_threads = true;
    group.submit(mixed_plan(builder, step));
    group.wait_result(result);
    ASSERT_EQ(result.status, StepStatus::kOk) << result.message;
  }
  testing::is_counting_all_threads = false;
  EXPECT_EQ(testing::n_allocations.exchange(0), 0);
}

// The first stores come when all else is warm, as many as a step may have.
TEST(StepAllocation, StoresInHostMemoryTakeNone) {
  const testing::FakeModelFile file({});
  RankGroupConfig config;
  config.limits = {.max_tokens = 32, .max_seqs = 4, .max_samples = 4, .max_model_len = 128};
  config.limits.n_host_kv_blocks = 16;
  config.n_kv_blocks = 8;
  ASSERT_EQ(config.limits.max_transfers(), 8);
  MemoryLedger ledger;
  RankGroup group(file, config, ledger);
  StepPlanBuilder builder(config.limits);
  StepResult result;
  for (uint64_t step = 1; step <= 8; ++step) {
    if (step == 5) testing::is_counting_all_threads = true;
    const std::array<BlockId, 1> blocks{BlockId{0}};
    const std::array<int32_t, 4> tokens{1, 2, 3, 4};
    builder.begin(step);
    builder.add_sequence(0, 0, tokens, blocks);
    for (int32_t i = 0; step >= 5 && i < config.limits.max_transfers(); ++i) {
      builder.add_store(BlockId{i}, HostBlockId{i}, step);
    }
    group.submit(builder.finish());
    group.wait_result(result);
    ASSERT_EQ(result.status, StepStatus::kOk) << result.message;
  }
  testing::is_counting_all_threads = false;
  EXPECT_EQ(testing::n_allocations.exchange(0), 0);
}

TEST(AllocationCounter, Counts) {
  testing::is_counting_all_threads = true;
  ::operator delete(::operator new(1));  // unlike `delete new int`, never optimised away
  const auto line = std::align_val_t(64);
  ::operator delete(::operator new(1, line), line);
  testing::is_counting_all_threads = false;
  EXPECT_GE(testing::n_allocations.exchange(0), 2);
}

}  // namespace
}  // namespace lockstep
