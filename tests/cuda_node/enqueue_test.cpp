// Between enqueue() and finish() a rank neither waits for its device nor looks how far it is: the
// emulated devices count the calls.
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

class Enqueue : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Enqueue, ::testing::Values(1, 2, 3));

TEST_P(Enqueue, AsksNothingOfTheDevice) {
  const int n_ranks = GetParam();
  FakeModelSpec spec;
  spec.shape.n_heads = 6;
  spec.shape.n_kv_heads = 3;
  spec.shape.head_dim = 32;
  const FakeModelFile file(spec);
  RankGroupConfig config = config_of(n_ranks);
  config.devices = emulated_gpus(n_ranks);
  const EmulatedNccl nccl;
  nccl.set({.n_polls = 0});  // it queues a collective when it is called
  const ShardPlan shards = *make_shard_plan(file.config().shape, n_ranks);
  MemoryLedger ledger;
  const RopeTable rope(file.config(), config.limits.max_model_len, ledger);
  const auto group = config.devices->make_group(n_ranks, {}, n_ranks);
  ASSERT_TRUE(group) << group.error().message;

  StepPlanBuilder builder(config.limits);
  const std::array<BlockId, 1> blocks{BlockId{0}};
  const auto plan_of = [&](uint64_t step, int32_t position) {
    builder.begin(step);
    builder.add_sequence(0, position, Ids{5, 9, 11}, blocks);
    SamplingRow row;
    row.n_known = position + 3;
    builder.add_sample(row);
    const auto bytes = builder.finish();
    return std::vector(bytes.begin(), bytes.end());
  };
  const std::vector<std::byte> plans[] = {plan_of(1, 0), plan_of(2, 3)};

  std::barrier all(n_ranks + 1);
  std::vector<std::jthread> threads;
  std::vector<int> n_failed(static_cast<size_t>(n_ranks), 0);
  for (int rank = 0; rank < n_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const auto i = static_cast<size_t>(rank);
      std::vector<ProgressCounter> progress(1);
      Rank one(file, shards, rank, config, rope, progress, ledger);
      StepResult result;
      result.resize(config.limits.max_samples, config.limits.max_seqs);
      all.arrive_and_wait();  // every rank is built
      all.arrive_and_wait();  // the counters are read
      for (const auto& plan : plans) n_failed[i] += one.enqueue(plan, {}, *(*group)[i]) ? 0 : 1;
      all.arrive_and_wait();  // both steps are queued
      all.arrive_and_wait();  // the counters are read again
      for (size_t step = 0; step < 2; ++step) {
        while (!one.is_over()) std::this_thread::yield();
        const RankOutcome outcome = one.finish(&result, result.kv_finite);
        n_failed[i] += outcome.status == StepStatus::kOk ? 0 : 1;
      }
    });
  }
  all.arrive_and_wait();
  const cuda_emulation::Counters before = emulation_counters();
  const int n_state_polls = nccl.stats().n_state_polls;
  all.arrive_and_wait();
  all.arrive_and_wait();
  const cuda_emulation::Counters asked = emulation_counters() - before;
  EXPECT_EQ(nccl.stats().n_state_polls, n_state_polls);
  all.arrive_and_wait();
  threads.clear();
  EXPECT_EQ(asked.n_synchronizes, 0u);
  EXPECT_EQ(asked.n_stream_queries, 0u);
  EXPECT_EQ(asked.n_event_queries, 0u);
  EXPECT_EQ(asked.n_blocking_copies, 0u);
  for (const int n : n_failed) EXPECT_EQ(n, 0);
  EXPECT_GT((emulation_counters() - before).n_polls(), 0u) << "nothing is counted";
}

}  // namespace
}  // namespace lockstep::testing
