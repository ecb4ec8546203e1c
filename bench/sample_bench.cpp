// Sampling of one row with a vocabulary of 49152 (SmolLM2) and of 151936 (Qwen2), on one thread.
// `read` is the bytes of logits per second; the time of one pass over the row's memory is the lower
// bound for every mode.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/memory/ledger.h"
#include "kernels/ops.h"
#include "kernels/sampling.h"

namespace lockstep {
namespace {

constexpr std::pair<const char*, SamplingRow> kModes[] = {
    {"greedy", {.temperature = 0.0f}},
    {"temperature", {.temperature = 0.8f}},
    {"top_k_50", {.temperature = 0.8f, .top_k = 50}},
    {"top_p_90", {.temperature = 0.8f, .top_p = 0.9f}},
    {"top_p_99_flat", {.temperature = 3.0f, .top_p = 0.99f}},
    {"min_p_05", {.temperature = 0.8f, .min_p = 0.05f}},
    {"greedy_logprobs_5", {.temperature = 0.0f, .n_logprobs = 5}},
    {"penalties", {.temperature = 0.0f, .repetition_penalty = 1.1f, .n_known = 2000}},
};

void run(benchmark::State& state, Isa isa, SamplingRow row) {
  const int64_t vocab_size = state.range(0);
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0.0f, 2.5f);
  std::vector<float> source(static_cast<size_t>(vocab_size));
  for (float& z : source) z = normal(random);
  for (int i = 0; i < 30; ++i) source[random() % source.size()] += 12.0f;
  std::vector<float> logits(source);
  std::vector<int32_t> history(4096);
  for (int32_t& id : history) id = static_cast<int32_t>(random() % source.size());
  std::vector<int32_t> top_ids(kMaxTopLogprobs);
  std::vector<float> top_logprobs(kMaxTopLogprobs);
  int32_t id = 0;
  float logprob = 0.0f;
  uint8_t finite = 0;
  SampleArgs args;
  args.logits = view(logits.data(), {1, vocab_size});
  args.rows = &row;
  args.banned = view<int32_t>(nullptr, {0});
  args.needs = needs_of({&row, 1});
  args.token_ids = view(history.data(), {1, 4096});
  args.ids = view(&id, {1});
  args.logprobs = view(&logprob, {1});
  args.top_ids = view(top_ids.data(), {1, kMaxTopLogprobs});
  args.top_logprobs = view(top_logprobs.data(), {1, kMaxTopLogprobs});
  args.finite = view(&finite, {1});
  MemoryLedger ledger;
  const auto stream = make_cpu_stream({.isa = isa, .limits = {.vocab_size = vocab_size}}, ledger);
  const bool changes_logits = row.repetition_penalty != 1.0f;
  for (auto _ : state) {
    if (changes_logits) std::copy(source.begin(), source.end(), logits.begin());
    ++row.output_idx;
    sample(args, *stream);
    benchmark::DoNotOptimize(id);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * vocab_size * 4);
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  using namespace lockstep;
  benchmark::Initialize(&argc, argv);
  for (Isa isa : available_isas().subspan(1)) {
    for (const auto& [mode, row] : kModes) {
      benchmark::RegisterBenchmark((std::string(mode) + "/" + to_string(isa)).c_str(), run, isa,
                                   row)
          ->Arg(49152)
          ->Arg(151936)
          ->Unit(benchmark::kMicrosecond);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
}
