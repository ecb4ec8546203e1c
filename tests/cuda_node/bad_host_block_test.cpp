// A bad host block fails the step that loads it, on every rank, and neither the step that still
// runs on the emulated devices nor their group.
#include <gtest/gtest.h>

#include <barrier>
#include <thread>

#include "node/model/rank/rank.h"
#include "node/model/weights/rope_table.h"
#include "node/step/step_plan.h"
#include "tests/cuda_node/emulated_gpus.h"
#include "tests/support/emulated_nccl.h"
#include "tests/unit/model/rank_group_driver.h"

namespace lockstep::testing {
namespace {

class BadHostBlock : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, BadHostBlock, ::testing::Values(1, 2, 3));

TEST_P(BadHostBlock, TheStepInFlightKeepsItsResult) {
  const int n_ranks = GetParam();
  FakeModelSpec spec;
  spec.shape.n_heads = 6;
  spec.shape.n_kv_heads = 3;
  spec.shape.head_dim = 32;
  const FakeModelFile file(spec);
  RankGroupConfig config = config_of(n_ranks);
  config.limits.n_host_kv_blocks = 4;
  config.devices = emulated_gpus(n_ranks);
  const EmulatedNccl nccl;
  const ShardPlan shards = *make_shard_plan(file.config().shape, n_ranks);
  MemoryLedger ledger;
  const RopeTable rope(file.config(), config.limits.max_model_len, ledger);
  const auto group = config.devices->make_group(n_ranks, {}, n_ranks);
  ASSERT_TRUE(group) << group.error().message;

  StepPlanBuilder builder(config.limits);
  const auto plan_of = [&](uint64_t step, bool loads) {
    builder.begin(step);
    const std::array<BlockId, 1> blocks{BlockId{0}};
    builder.add_sequence(0, 0, Ids{5, 9, 11}, blocks);
    if (loads) builder.add_load(HostBlockId{2}, BlockId{7}, 1);  // was never stored
    SamplingRow row;
    row.n_known = 3;
    builder.add_sample(row);
    const auto bytes = builder.finish();
    return std::vector(bytes.begin(), bytes.end());
  };
  const std::vector<std::byte> plans[] = {plan_of(1, false), plan_of(2, true), plan_of(3, false)};

  std::barrier all(n_ranks);
  std::vector<std::vector<StepStatus>> statuses(static_cast<size_t>(n_ranks));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < n_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const auto i = static_cast<size_t>(rank);
      std::vector<ProgressCounter> progress(1);
      Rank one(file, shards, rank, config, rope, progress, ledger);
      StepResult result;
      result.resize(config.limits.max_samples, config.limits.max_seqs);
      const auto finish = [&] {
        while (!one.is_over()) std::this_thread::yield();
        statuses[i].push_back(one.finish(&result, result.kv_finite).status);
      };
      all.arrive_and_wait();  // every rank is built
      EXPECT_TRUE(one.enqueue(plans[0], {}, *(*group)[i]));
      EXPECT_FALSE(one.enqueue(plans[1], {}, *(*group)[i]));
      finish();
      finish();
      EXPECT_TRUE(one.enqueue(plans[2], {}, *(*group)[i]));
      finish();
    });
  }
  threads.clear();
  const std::vector<StepStatus> expected{StepStatus::kOk, StepStatus::kBadHostBlock,
                                         StepStatus::kOk};
  for (const std::vector<StepStatus>& of_rank : statuses) EXPECT_EQ(of_rank, expected);
  EXPECT_EQ(nccl.stats().n_aborted, 0);
}

}  // namespace
}  // namespace lockstep::testing
