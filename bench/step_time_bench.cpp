// The cost of StepTimeModel, which runs on the engine thread once a step: observe() with a fit of
// all terms, and with one that clamps several of them; predict().
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "node/engine/plan/step_time_model.h"

namespace lockstep {
namespace {

struct Sample {
  StepWork work;
  double seconds = 0;
};

// Steps with up to 64 decodes, half of them with a chunk of a prompt.
std::vector<Sample> samples(bool noise_only) {
  std::mt19937 random(1);
  const auto below = [&](uint32_t n) { return static_cast<int32_t>(random() % n); };
  std::vector<Sample> out(1024);
  for (Sample& sample : out) {
    if (below(2) == 0) sample.work.add_chunk(below(8192), 1 + below(512), below(2) == 0);
    for (int32_t n = below(64); n >= 0; --n) sample.work.add_decode(below(8192));
    sample.work.n_transfers = below(8);
    sample.seconds = 0.01 * (1 + below(100) / 100.0);
    if (!noise_only)
      sample.seconds += 1e-4 * sample.work.n_rows + 1e-8 * double(sample.work.n_keys);
  }
  return out;
}

void observe(benchmark::State& state, bool noise_only) {
  const std::vector<Sample> steps = samples(noise_only);
  StepTimeModel time;
  size_t i = 0;
  for (auto _ : state) {
    const Sample& step = steps[i++ % steps.size()];
    time.observe(step.work, step.seconds);
  }
}

void predict(benchmark::State& state) {
  const std::vector<Sample> steps = samples(false);
  StepTimeModel time;
  for (const Sample& step : steps) time.observe(step.work, step.seconds);
  size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(time.predict(steps[i++ % steps.size()].work));
}

BENCHMARK_CAPTURE(observe, all_terms, false);
BENCHMARK_CAPTURE(observe, clamped_terms, true);
BENCHMARK(predict);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
