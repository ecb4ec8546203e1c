// No allocation in the step loop: once warm, a decode step allocates nothing on the engine thread.
// The test replaces this executable's operator new with one that counts.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/support/counting_new.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

// Counts the engine thread's allocations between its 10th and its 50th batch.
class CountingSink final : public EngineSink {
 public:
  void on_events(const EventBatch& batch) override {
    ++n_batches_;
    if (n_batches_ == 10) is_counting_this_thread = true;
    if (n_batches_ == 50) is_counting_this_thread = false;
    n_ends += static_cast<int>(batch.ends.size());
  }
  std::atomic<int> n_ends{0};

 private:
  int n_batches_ = 0;
};

class AllocationTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, AllocationTest, ::testing::Values(1, 2));

TEST_P(AllocationTest, ADecodeStepAllocatesNothing) {
  const EngineConfig config = small_config(GetParam());
  NullExecutor executor(executor_options(config));
  FakeTokenizer tokenizer;
  SteadyClock clock;
  CountingSink sink;
  Engine engine(config, executor, tokenizer, clock, sink);
  for (uint64_t id = 0; id < 3; ++id) {
    GenerationRequest request = request_of(id, {1, 2, 3}, 60);
    request.sampling.n_logprobs = 5;
    request.sampling.min_tokens = 30;  // bans in every row until then, stop strings from then on
    request.sampling.stop.strings = {"no such text"};
    ASSERT_TRUE(engine.submit(std::move(request)));
  }
  n_allocations = 0;
  engine.start();
  while (sink.n_ends < 3) std::this_thread::yield();
  engine.stop();
  EXPECT_EQ(n_allocations, 0);
}

TEST(Allocation, TheCounterCounts) {
  n_allocations = 0;
  is_counting_this_thread = true;
  ::operator delete(::operator new(1));  // unlike `delete new int`, it is never optimised away
  is_counting_this_thread = false;
  EXPECT_GE(n_allocations, 1);
}

}  // namespace
}  // namespace lockstep::testing
