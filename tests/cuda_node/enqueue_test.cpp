// Between enqueue() and finish() a rank neither waits for its device nor looks how far it is: the
// emulated devices count the calls.
#include <gtest/gtest.h>

#include <barrier>
#include <thread>

#include "tests/cuda_node/ranks_on_gpus.h"

namespace lockstep::testing {
namespace {

class Enqueue : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Enqueue, ::testing::Values(1, 2, 3));

TEST_P(Enqueue, AsksNothingOfTheDevice) {
  const int n_ranks = GetParam();
  RanksOnGpus ranks(n_ranks, {.faults = {.n_polls = 0}});  // NCCL queues when it is called
  const std::vector<std::byte> plans[] = {ranks.plan(1, 0), ranks.plan(2, 3)};

  std::barrier all(n_ranks + 1);
  std::vector<std::jthread> threads;
  std::vector<int> n_failed(static_cast<size_t>(n_ranks), 0);
  for (int rank = 0; rank < n_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      int& failed = n_failed[static_cast<size_t>(rank)];
      RanksOnGpus::OneRank one(ranks, rank);
      all.arrive_and_wait();  // every rank is built
      all.arrive_and_wait();  // the counters are read
      for (const auto& plan : plans) failed += one.enqueue(plan) ? 0 : 1;
      all.arrive_and_wait();  // both steps are queued
      all.arrive_and_wait();  // the counters are read again
      for (size_t step = 0; step < 2; ++step) failed += one.finish() == StepStatus::kOk ? 0 : 1;
    });
  }
  all.arrive_and_wait();
  const cuda_emulation::Counters before = emulation_counters();
  const int n_state_polls = ranks.nccl().stats().n_state_polls;
  all.arrive_and_wait();
  all.arrive_and_wait();
  const cuda_emulation::Counters asked = emulation_counters() - before;
  EXPECT_EQ(ranks.nccl().stats().n_state_polls, n_state_polls);
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
