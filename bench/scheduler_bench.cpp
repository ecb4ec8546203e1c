// The cost of the engine itself per step with 64 decoding sequences, with a model that answers at
// once. `schedule`: plan, commit, finish and publish. `turn`: also the bytes of the plan, results,
// invariants and events.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "bench/support/bench_requests.h"
#include "bench/support/bench_tokenizer.h"
#include "common/check.h"
#include "node/engine/core/engine_core.h"
#include "node/engine/queue/admission.h"

namespace lockstep {
namespace {

constexpr int32_t kPrompt = 256, kMaxModelLen = 4096, kVocab = 32000;

EngineConfig config() {
  return bench_config(kMaxModelLen, kBenchSequences * kMaxModelLen / kBenchBlockSize);
}

std::unique_ptr<LiveRequest> request(uint64_t id) {
  std::mt19937_64 random(id);
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < kPrompt; ++i) prompt.push_back(static_cast<int32_t>(random() % kVocab));
  return bench_request(id, std::move(prompt), kMaxModelLen - kPrompt);
}

// An executor whose every row gives the number of the step.
class ImmediateExecutor final : public Executor {
 public:
  void submit(std::span<const std::byte> plan) override {
    const StepPlanHeader& header = StepPlanView(plan).header();
    step_ = header.step;
    n_samples_ = header.n_samples;
  }
  int max_steps_in_flight() const override { return 1; }
  void wait_result(StepResult& result) override {
    result.step = step_;
    result.status = StepStatus::kOk;
    result.n_samples = n_samples_;
    for (int32_t i = 0; i < n_samples_; ++i) {
      result.ids[static_cast<size_t>(i)] = static_cast<int32_t>(step_ % kVocab);
      result.finite[static_cast<size_t>(i)] = 1;
    }
    std::ranges::fill(result.kv_finite, 1);
  }

 private:
  uint64_t step_ = 0;
  int32_t n_samples_ = 0;
};

// 64 sequences with their prompts computed; a step decodes one token of each.
class Decoding {
 public:
  Decoding()
      : pool_(config().n_kv_blocks),
        cache_(pool_, kBenchBlockSize, /*enabled=*/true),
        scheduler_(config(), pool_, cache_) {
    for (uint64_t id = 1; id <= kBenchSequences; ++id) {
      requests_.push_back(request(id));
      scheduler_.enqueue(requests_.back()->choices[0].sequence);
    }
    do {
      step();
    } while (!scheduler_.waiting().empty() || schedule_.n_tokens() != kBenchSequences);
  }
  ~Decoding() {
    for (const auto& live : requests_) CHECK(scheduler_.retire(live->choices[0].sequence));
  }
  Decoding(const Decoding&) = delete;
  Decoding& operator=(const Decoding&) = delete;

  void step() {
    schedule_.step = ++n_steps_;
    scheduler_.plan(schedule_);
    scheduler_.commit(schedule_);
    for (const ScheduledChunk& chunk : schedule_.chunks) {
      if (scheduler_.finish(chunk, true) || !chunk.samples) continue;
      chunk.sequence->append_output(static_cast<int32_t>(n_steps_ % kVocab));
    }
  }
  bool is_nearly_over() const {
    return requests_.front()->choices[0].sequence.n_known() > kMaxModelLen - 2;
  }

 private:
  BlockPool pool_;
  PrefixCache cache_;
  std::vector<std::unique_ptr<LiveRequest>> requests_;
  Scheduler scheduler_;
  Schedule schedule_;
  uint64_t n_steps_ = 0;
};

void schedule(benchmark::State& state) {
  auto decoding = std::make_unique<Decoding>();
  for (auto _ : state) {
    decoding->step();
    if (decoding->is_nearly_over()) {
      state.PauseTiming();
      decoding.reset();
      decoding = std::make_unique<Decoding>();
      state.ResumeTiming();
    }
  }
}

struct NoSink final : EngineSink {
  void on_events(const EventBatch& batch) override { benchmark::DoNotOptimize(&batch); }
};

class SteadyClock final : public Clock {
 public:
  TimePoint now() const override {
    return TimePoint(std::chrono::steady_clock::now().time_since_epoch());
  }
};

void turn(benchmark::State& state) {
  ImmediateExecutor executor;
  const BenchTokenizer tokenizer(kVocab);
  const SteadyClock clock;
  NoSink sink;
  auto core = std::make_unique<EngineCore>(config(), executor, tokenizer, clock, sink);
  const auto turn_once = [&] {
    core->start();
    core->finish();
  };
  for (auto _ : state) {
    if (core->idle()) {
      state.PauseTiming();
      core = std::make_unique<EngineCore>(config(), executor, tokenizer, clock, sink);
      for (uint64_t id = 1; id <= kBenchSequences; ++id) core->accept(request(id));
      while (!core->scheduler().waiting().empty()) turn_once();
      for (int i = 0; i < 100; ++i) turn_once();  // the last prompts
      state.ResumeTiming();
    }
    turn_once();
  }
}

BENCHMARK(schedule)->Unit(benchmark::kMicrosecond);
BENCHMARK(turn)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
