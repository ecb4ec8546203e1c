// No allocation in the step loop: once warm, a decode step takes no memory anywhere on the engine
// thread. Counted by replacing this executable's operator new.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "tests/unit/engine/harness.h"

namespace {

thread_local bool is_counting = false;
std::atomic<int> n_allocations{0};

void* allocate(std::size_t n_bytes, std::size_t alignment = alignof(std::max_align_t)) {
  if (is_counting) ++n_allocations;
  const std::size_t n_whole = (std::max<std::size_t>(n_bytes, 1) + alignment - 1) / alignment;
  void* memory = std::aligned_alloc(alignment, n_whole * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// g++ 12 inlines one half of a pair and then misses the other.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

void* operator new(std::size_t n_bytes) { return allocate(n_bytes); }
void* operator new[](std::size_t n_bytes) { return allocate(n_bytes); }
void* operator new(std::size_t n_bytes, std::align_val_t alignment) {
  return allocate(n_bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t n_bytes, std::align_val_t alignment) {
  return allocate(n_bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace lockstep::testing {
namespace {

// Counts on the engine thread between its 10th and its 50th batch.
class CountingSink final : public EngineSink {
 public:
  void on_events(const EventBatch& batch) override {
    ++n_batches_;
    if (n_batches_ == 10) is_counting = true;
    if (n_batches_ == 50) is_counting = false;
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
  is_counting = true;
  delete new int;
  is_counting = false;
  EXPECT_GE(n_allocations, 1);
}

}  // namespace
}  // namespace lockstep::testing
