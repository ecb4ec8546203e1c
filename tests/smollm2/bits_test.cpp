// Bit equality on the real model: 9 query heads on 3 KV heads, so 2 ranks are uneven.
#include <gtest/gtest.h>

#include "node/model/files/open_model_file.h"
#include "tests/support/model_runner.h"
#include "tests/support/paths.h"

namespace lockstep::testing {
namespace {

constexpr int kNew = 12;

TEST(SmolLm2Bits, TensorParallelThreadsInstructionSetsAndChunksGiveTheSameTokens) {
  const auto file = open_model_file(smollm2());
  const Ids prompt = random_prompt(100, file->config().shape.vocab_size, 41);
  const auto run = [&](const RunnerOptions& options) {
    return ModelRunner(*file, options).generate(prompt, kNew);
  };
  const Generation alone = run({});
  expect_same_bits(run({.n_ranks = 2}), alone, "2 ranks, uneven");
  expect_same_bits(run({.n_ranks = 3}), alone, "3 ranks");
  expect_same_bits(run({.threads_per_rank = 2}), alone, "2 threads");
  expect_same_bits(run({.n_ranks = 2, .threads_per_rank = 2, .chunk = 7}), alone,
                   "2 ranks x 2 threads, chunk 7");
  expect_same_bits(run({.block_size = 8, .chunk = 100}), alone, "block 8, whole prompt");
  for (Isa isa : available_isas()) {
    if (isa == Isa::kReference) continue;  // minutes; the tiny models compare with it
    expect_same_bits(run({.isa = isa}), alone, to_string(isa));
  }
}

TEST(SmolLm2Bits, EightPromptsTogetherEqualEachAlone) {
  const auto file = open_model_file(smollm2());
  std::vector<Ids> prompts;
  for (int i = 0; i < 8; ++i) {
    prompts.push_back(random_prompt(1 + 9 * i, file->config().shape.vocab_size, 50 + i));
  }
  ModelRunner runner(*file, {.threads_per_rank = 2, .chunk = 16});
  const std::vector<Generation> together = runner.generate_together(prompts, kNew);
  for (size_t i = 0; i < prompts.size(); ++i) {
    expect_same_bits(together[i], runner.generate(prompts[i], kNew), "prompt " + std::to_string(i));
  }
}

}  // namespace
}  // namespace lockstep::testing
