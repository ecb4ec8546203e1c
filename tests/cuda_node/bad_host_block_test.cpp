// A bad host block fails the step that loads it, on every rank, and neither the step that still
// runs on the emulated devices nor their group.
#include <gtest/gtest.h>

#include <barrier>
#include <thread>

#include "tests/cuda_node/ranks_on_gpus.h"

namespace lockstep::testing {
namespace {

class BadHostBlock : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, BadHostBlock, ::testing::Values(1, 2, 3));

TEST_P(BadHostBlock, TheStepInFlightKeepsItsResult) {
  const int n_ranks = GetParam();
  RanksOnGpus ranks(n_ranks, {.n_host_kv_blocks = 4});
  const auto load = [](StepPlanBuilder& builder) {
    builder.add_load(HostBlockId{2}, BlockId{7}, 1);  // was never stored
  };
  const std::vector<std::byte> before = ranks.plan(1, 0), loads = ranks.plan(2, 0, load),
                               after = ranks.plan(3, 0);

  std::barrier all(n_ranks);
  std::vector<std::vector<StepStatus>> statuses(static_cast<size_t>(n_ranks));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < n_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      std::vector<StepStatus>& ends = statuses[static_cast<size_t>(rank)];
      RanksOnGpus::OneRank one(ranks, rank);
      all.arrive_and_wait();  // every rank is built
      EXPECT_TRUE(one.enqueue(before));
      EXPECT_FALSE(one.enqueue(loads));
      ends.push_back(one.finish());
      ends.push_back(one.finish());
      EXPECT_TRUE(one.enqueue(after));
      ends.push_back(one.finish());
    });
  }
  threads.clear();
  const std::vector<StepStatus> expected{StepStatus::kOk, StepStatus::kBadHostBlock,
                                         StepStatus::kOk};
  for (const std::vector<StepStatus>& of_rank : statuses) EXPECT_EQ(of_rank, expected);
  EXPECT_EQ(ranks.nccl().stats().n_aborted, 0);
}

}  // namespace
}  // namespace lockstep::testing
