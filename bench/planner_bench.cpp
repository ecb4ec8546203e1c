// The engine's planning per step while 250, 1000 or 4000 requests of one prefix of 8192 tokens
// wait: plan and commit. `cold`: the first request computes the prefix meanwhile. `warm`: the
// prefix is cached and sequences are admitted as others end. `full`: no blocks are left for the
// first waiting request. The counters are in seconds: the mean step, the slowest step, and the
// slowest end of a step, which returns the requests to the queue that waited for the prefix.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "bench/support/bench_requests.h"
#include "common/check.h"
#include "node/engine/plan/scheduler.h"

namespace lockstep {
namespace {

constexpr int32_t kPrefix = 8192, kOwn = 24, kOutputs = 16, kMaxModelLen = 16384;

std::unique_ptr<LiveRequest> request(uint64_t id) {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < kPrefix; ++i) prompt.push_back(i);
  for (int32_t i = 0; i < kOwn; ++i) prompt.push_back(static_cast<int32_t>(id) * kOwn + i);
  return bench_request(id, std::move(prompt), kOutputs);
}

// CPU time of this thread, so that other processes do not count.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

class Crowd {
 public:
  explicit Crowd(int32_t n_kv_blocks)
      : pool_(n_kv_blocks),
        cache_(pool_, kBenchBlockSize, /*enabled=*/true),
        scheduler_(bench_config(kMaxModelLen, n_kv_blocks), pool_, cache_) {}
  ~Crowd() {
    for (const auto& live : requests_) {
      Sequence& sequence = live->choices[0].sequence;
      if (sequence.is_open()) CHECK(scheduler_.retire(sequence));
    }
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  void enqueue(int32_t n) {
    for (; n > 0; --n) {
      requests_.push_back(request(requests_.size() + 1));
      scheduler_.enqueue(requests_.back()->choices[0].sequence);
    }
  }
  // Returns the seconds that the step took to plan.
  double step() {
    const double start = cpu_seconds();
    schedule_.step = ++n_steps_;
    scheduler_.plan(schedule_);
    scheduler_.commit(schedule_);
    const double time = cpu_seconds() - start;
    const double end = cpu_seconds();
    for (const ScheduledChunk& chunk : schedule_.chunks) CHECK(!scheduler_.finish(chunk, true));
    slowest_end_ = std::max(slowest_end_, cpu_seconds() - end);
    for (const ScheduledChunk& chunk : schedule_.chunks) {
      if (!chunk.samples) continue;
      chunk.sequence->append_output(0);
      if (chunk.sequence->is_full()) CHECK(scheduler_.retire(*chunk.sequence));
    }
    return time;
  }
  const Scheduler& scheduler() const { return scheduler_; }
  double slowest_end() const { return slowest_end_; }

 private:
  BlockPool pool_;
  PrefixCache cache_;
  std::vector<std::unique_ptr<LiveRequest>> requests_;
  Scheduler scheduler_;
  Schedule schedule_;
  uint64_t n_steps_ = 0;
  double slowest_end_ = 0;
};

// Steps until `is_over` holds, once per iteration.
template <class Make, class IsOver>
void run(benchmark::State& state, const Make& make, const IsOver& is_over) {
  double slowest = 0, slowest_end = 0;
  uint64_t n_steps = 0;
  for (auto _ : state) {
    const std::unique_ptr<Crowd> crowd = make();
    double time = 0;
    for (int i = 0; !is_over(*crowd, i); ++i, ++n_steps) {
      const double step = crowd->step();
      slowest = std::max(slowest, step);
      time += step;
    }
    slowest_end = std::max(slowest_end, crowd->slowest_end());
    state.SetIterationTime(time);
  }
  state.counters["slowest"] = slowest;
  state.counters["slowest_end"] = slowest_end;
  state.counters["per_step"] = benchmark::Counter(
      static_cast<double>(n_steps), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

constexpr int32_t kAmple = kPrefix / kBenchBlockSize + kBenchSequences * 32;

void cold(benchmark::State& state) {
  const auto n_requests = static_cast<int32_t>(state.range(0));
  run(
      state,
      [&] {
        auto crowd = std::make_unique<Crowd>(kAmple);
        crowd->enqueue(n_requests);
        return crowd;
      },
      [](const Crowd&, int i) { return i == kPrefix / 512; });
}

std::unique_ptr<Crowd> with_cached_prefix(int32_t n_requests, int32_t n_kv_blocks) {
  auto crowd = std::make_unique<Crowd>(n_kv_blocks);
  crowd->enqueue(1);
  while (!crowd->scheduler().idle()) crowd->step();
  crowd->enqueue(n_requests);
  return crowd;
}

void warm(benchmark::State& state) {
  const auto n_requests = static_cast<int32_t>(state.range(0));
  run(
      state, [&] { return with_cached_prefix(n_requests, kAmple); },
      [](const Crowd& crowd, int) { return crowd.scheduler().idle(); });
}

void full(benchmark::State& state) {
  const auto n_requests = static_cast<int32_t>(state.range(0));
  run(
      state, [&] { return with_cached_prefix(n_requests, kPrefix / kBenchBlockSize + 40); },
      [](const Crowd& crowd, int) { return crowd.scheduler().idle(); });
}

BENCHMARK(cold)->Arg(250)->Arg(1000)->Arg(4000)->UseManualTime()->Iterations(3)->Unit(
    benchmark::kMicrosecond);
BENCHMARK(warm)->Arg(250)->Arg(1000)->Arg(4000)->UseManualTime()->Iterations(3)->Unit(
    benchmark::kMicrosecond);
BENCHMARK(full)->Arg(250)->Arg(1000)->Arg(4000)->UseManualTime()->Iterations(3)->Unit(
    benchmark::kMicrosecond);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
