// SpinBarrier beyond what communicator_test asks of every implementation.
#include "parallel/spin_barrier.h"

#include <gtest/gtest.h>

#include <thread>

namespace lockstep {
namespace {

// The ranks may have a processor each, but not beside their own teams' threads.
TEST(SpinBarrier, SpinsOnlyWhileTheProcessHasAProcessorForEveryThread) {
  const auto n_processors = static_cast<int>(std::thread::hardware_concurrency());
  const auto spins = [](int n_threads, int n_threads_in_process) {
    return SpinBarrier(n_threads, n_threads_in_process, std::chrono::milliseconds{1}).spins();
  };
  EXPECT_TRUE(spins(1, n_processors));
  EXPECT_FALSE(spins(1, n_processors + 1));
  EXPECT_FALSE(spins(n_processors + 1, 1));
}

}  // namespace
}  // namespace lockstep
