#include "bench/replay/replay.h"

#include <algorithm>
#include <deque>
#include <memory>

#include "common/check.h"
#include "node/engine/core/engine_core.h"
#include "node/engine/queue/admission.h"
#include "node/engine/sequence/live_request.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tokenizer.h"

namespace lockstep::replay {
namespace {

constexpr int32_t kMaxTogether = 64;

// A model whose every row samples the same token.
class NullModel final : public Executor {
 public:
  void submit(std::span<const std::byte> plan) override {
    const StepPlanHeader& header = StepPlanView(plan).header();
    steps_.push_back({header.step, header.n_samples});
  }
  int max_steps_in_flight() const override { return 1; }
  void wait_result(StepResult& result) override {
    const Step step = steps_.front();
    steps_.pop_front();
    result.step = step.number;
    result.status = StepStatus::kOk;
    result.n_samples = step.n_samples;
    std::ranges::fill(result.ids, 'a');
    std::ranges::fill(result.finite, 1);
    std::ranges::fill(result.kv_finite, 1);
  }

 private:
  struct Step {
    uint64_t number;
    int32_t n_samples;
  };
  std::deque<Step> steps_;
};

class Tally final : public EngineSink {
 public:
  explicit Tally(const PrefillCost& cost) : cost_(cost) {}
  void on_events(const EventBatch& batch) override {
    for (const RequestEnd& end : batch.ends) {
      if (end.reason == FinishReason::kError) continue;
      const auto n_cached = static_cast<int64_t>(end.usage.cached_tokens);
      ++result.n_requests;
      result.n_hit_tokens += n_cached;
      result.n_hit_blocks += n_cached / kBlockTokens;
      result.seconds_saved += cost_.seconds(0, n_cached);
    }
  }
  ReplayResult result;

 private:
  const PrefillCost cost_;
};

EngineConfig engine_config(const Trace& trace, const ReplayConfig& config) {
  int32_t n_longest = 1;
  for (const TraceRequest& request : trace) n_longest = std::max(n_longest, request.n_tokens);
  EngineConfig engine;
  engine.limits = {.max_tokens = std::max(n_longest, 4096),
                   .max_seqs = kMaxTogether,
                   .max_samples = kMaxTogether,
                   .max_model_len = n_longest + 1,
                   .block_size = kBlockTokens,
                   .max_banned = kMaxTogether * (1 + static_cast<int32_t>(kMaxStopTokenIds))};
  engine.n_kv_blocks = config.n_blocks;
  engine.eviction_policy = config.policy;
  engine.prefill_cost = config.cost;
  return engine;
}

std::unique_ptr<LiveRequest> live_request(const TraceRequest& from, uint64_t id) {
  GenerationRequest request;
  request.id = RequestId{id};
  request.prompt = tokens_of(from);
  request.sampling.max_tokens = 1;
  request.sampling.ignore_eos = true;
  return std::make_unique<LiveRequest>(std::move(request));
}

}  // namespace

ReplayResult replay(const Trace& trace, const ReplayConfig& config) {
  NullModel model;
  const testing::FakeTokenizer tokenizer;
  testing::FakeClock clock;
  Tally tally(config.cost);
  EngineCore core(engine_config(trace, config), model, tokenizer, clock, tally);
  for (size_t r = 0; r < trace.size();) {
    for (const int64_t time = trace[r].time_ms; r < trace.size() && trace[r].time_ms == time; ++r) {
      core.accept(live_request(trace[r], r));
    }
    while (!core.idle()) {
      core.start();
      core.finish();
    }
  }
  tally.result.n_regret_tokens = static_cast<int64_t>(core.snapshot().n_regret_tokens);
  CHECK_EQ(core.snapshot().n_invariant_violations(), 0u);
  return tally.result;
}

}  // namespace lockstep::replay
