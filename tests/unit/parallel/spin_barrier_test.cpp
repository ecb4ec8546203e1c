// SpinBarrier, beyond what communicator_test checks for every implementation.
#include "parallel/local/spin_barrier.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/machine.h"

namespace lockstep {
namespace {

// The ranks may have a processor each, but not if the threads of their teams are counted as well.
TEST(SpinBarrier, SpinsOnlyWhileTheProcessHasAProcessorForEveryThread) {
  const auto n_processors = available_cpus();
  const auto spins = [](int n_threads, int n_threads_in_process) {
    return SpinBarrier(n_threads, n_threads_in_process, StallTimeout{}).spins();
  };
  EXPECT_TRUE(spins(1, n_processors));
  EXPECT_FALSE(spins(1, n_processors + 1));
  EXPECT_FALSE(spins(n_processors + 1, 1));
}

// A rank that waits in a process with more threads than processors, so it sleeps at once.
CommResult wait_alone(SpinBarrier& barrier) {
  CommResult result = CommResult::kOk;
  std::thread rank([&] { result = barrier.arrive_and_wait(); });
  rank.join();
  return result;
}

TEST(SpinBarrier, AWaitLastsWhileAnyRankMakesProgress) {
  std::atomic<uint64_t> n_looks{0};
  const StallTimeout timeout{
      .tick = std::chrono::milliseconds{1}, .n_ticks = 3, .progress = [&] { return ++n_looks; }};
  SpinBarrier barrier(2, 1'000'000, timeout);
  CommResult result = CommResult::kTimeout;
  std::thread rank([&] { result = barrier.arrive_and_wait(); });
  while (n_looks < 50 && !barrier.aborted()) std::this_thread::yield();
  EXPECT_EQ(barrier.arrive_and_wait(), CommResult::kOk);
  rank.join();
  EXPECT_EQ(result, CommResult::kOk);
}

TEST(SpinBarrier, AWaitEndsWhenNothingHasMovedForItsTicks) {
  std::atomic<uint64_t> n_looks{0};
  const StallTimeout timeout{
      .tick = std::chrono::milliseconds{1}, .n_ticks = 5, .progress = [&] { return ++n_looks, 7; }};
  SpinBarrier barrier(2, 1'000'000, timeout);
  EXPECT_EQ(wait_alone(barrier), CommResult::kTimeout);
  EXPECT_EQ(n_looks, 6u) << "the first look only learns where things stand";
}

}  // namespace
}  // namespace lockstep
