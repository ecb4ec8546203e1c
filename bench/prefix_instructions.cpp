// The engine and one rank on one thread, whose instructions valgrind counts: prefix_instructions
// MODEL.gguf on|off N_REQUESTS. The requests share no prefix. Prints the number of steps that
// run_requests() took; bench/prefix_overhead.py compares its instructions with those of a run
// without the prefix cache.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string_view>
#include <utility>

#include "bench/support/bench_tokenizer.h"
#include "common/check.h"
#include "common/load_error.h"
#include "node/engine/core/engine_core.h"
#include "node/model/files/open_model_file.h"
#include "node/model/model_file.h"
#include "node/model/rank/rank.h"
#include "node/model/weights/rope_table.h"
#include "parallel/shard_plan.h"

namespace lockstep {
namespace {

constexpr int32_t kPrompt = 100, kOutput = 29, kBlockSize = 16;

RankGroupConfig config() {
  RankGroupConfig c;
  c.n_kv_blocks = 128;
  c.limits = {.max_tokens = 64,
              .max_seqs = 8,
              .max_samples = 8,
              .max_model_len = 256,
              .block_size = kBlockSize,
              .max_banned = 8};
  return c;
}

class InlineExecutor final : public Executor {
 public:
  explicit InlineExecutor(const ModelFile& file)
      : config_(config()),
        plan_(*make_shard_plan(file.config().shape, 1)),
        rope_(file.config(), config_.limits.max_model_len, ledger_),
        communicators_(make_local_group(1, {})),
        rank_(file, plan_, 0, config_, rope_, progress_, ledger_) {
    result_.resize(config_.limits.max_samples, config_.limits.max_seqs);
  }
  void submit(std::span<const std::byte> plan) override {
    CHECK(rank_.enqueue(plan, {}, *communicators_.front()) && rank_.is_over());
    const RankOutcome outcome = rank_.finish(&result_, result_.kv_finite);
    const StepPlanHeader& header = StepPlanView(plan).header();
    result_.step = header.step;
    result_.n_samples = header.n_samples;
    result_.status = outcome.status;
  }
  int max_steps_in_flight() const override { return 1; }
  void wait_result(StepResult& result) override { std::swap(result, result_); }

 private:
  const RankGroupConfig config_;
  const ShardPlan plan_;
  MemoryLedger ledger_;
  const RopeTable rope_;
  std::vector<ProgressCounter> progress_{1};  // of the only thread of the rank
  const std::vector<std::unique_ptr<Communicator>> communicators_;
  Rank rank_;
  StepResult result_;
};

struct NoSink final : EngineSink {
  void on_events(const EventBatch&) override {}
};

class StoppedClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(std::chrono::nanoseconds(1)); }
};

GenerationRequest request(uint64_t id, int64_t vocab_size) {
  std::mt19937_64 random(id);
  GenerationRequest r;
  r.id = RequestId{id};
  r.prompt.push_back(static_cast<int32_t>(id));  // no two requests begin alike
  while (r.prompt.size() < kPrompt) {
    r.prompt.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab_size)));
  }
  r.sampling.temperature = 0;
  r.sampling.ignore_eos = true;
  r.sampling.max_tokens = kOutput;
  return r;
}

}  // namespace

// A function of its own, so that valgrind --toggle-collect can name it.
__attribute__((noinline)) void run_requests(EngineCore& core, int n_requests, int64_t vocab_size) {
  for (int i = 1; i <= n_requests; ++i) {
    core.accept(std::make_unique<LiveRequest>(request(static_cast<uint64_t>(i), vocab_size)));
  }
  while (!core.idle()) {
    core.start();
    core.finish();
  }
}

int count_steps(const char* model, bool prefix_cache, int n_requests) {
  const std::unique_ptr<ModelFile> file = open_model_file(model);
  const int64_t vocab_size = file->config().shape.vocab_size;
  InlineExecutor executor(*file);
  const BenchTokenizer tokenizer(vocab_size);
  const StoppedClock clock;
  NoSink sink;
  EngineConfig engine;
  engine.limits = config().limits;
  engine.n_kv_blocks = config().n_kv_blocks;
  engine.prefix_cache = prefix_cache;
  EngineCore core(engine, executor, tokenizer, clock, sink);
  run_requests(core, n_requests, vocab_size);
  const EngineSnapshot s = core.snapshot();
  CHECK(s.n_length == static_cast<uint64_t>(n_requests));
  std::printf("steps %llu cached_tokens %llu\n", static_cast<unsigned long long>(s.n_steps),
              static_cast<unsigned long long>(s.n_cached_tokens));
  return 0;
}

}  // namespace lockstep

int main(int argc, char** argv) {
  const std::string_view mode = argc == 4 ? argv[2] : "";
  if (mode != "on" && mode != "off") {
    std::fputs("usage: prefix_instructions MODEL.gguf on|off N_REQUESTS\n", stderr);
    return 2;
  }
  try {
    return lockstep::count_steps(argv[1], mode == "on", std::atoi(argv[3]));
  } catch (const lockstep::LoadError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
