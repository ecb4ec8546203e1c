// The bits of a token do not depend on how it was computed. Threads, instruction set, prefill
// chunks, block size and other requests are varied one at a time against the same run.
#include <gtest/gtest.h>

#include "tests/bits/tiny_models.h"

namespace lockstep::testing {
namespace {

constexpr int kPrompt = 150;  // three attention tiles of 64 keys
constexpr int kNew = 4;

struct Baseline {
  explicit Baseline(const NamedSpec& named, const RunnerOptions& run_options = {})
      : model(named), options(run_options) {
    prompt = random_prompt(kPrompt, model.spec.shape.vocab_size, 11);
    expected = run(model, options, prompt, kNew);
  }
  void expect_same(const RunnerOptions& changed, const std::string& what) const {
    expect_same_bits(run(model, changed, prompt, kNew), expected, model.name + ", " + what);
  }

  NamedSpec model;
  RunnerOptions options;
  Ids prompt;
  Generation expected;
};

TEST(Invariance, NumberOfThreads) {
  for (const NamedSpec& model : all_specs()) {
    const Baseline base(model);
    for (int threads : {2, 3}) {
      base.expect_same({.threads_per_rank = threads}, std::to_string(threads) + " threads");
    }
  }
}

TEST(Invariance, InstructionSet) {
  for (const NamedSpec& model : all_specs()) {
    const Baseline base(model, {.isa = Isa::kReference});
    for (Isa isa : available_isas()) base.expect_same({.isa = isa}, to_string(isa));
  }
}

TEST(Invariance, PrefillChunk) {
  for (const NamedSpec& model : all_specs()) {
    const Baseline base(model, {.chunk = kPrompt});
    for (int32_t chunk : {1, 7, 64}) {
      base.expect_same({.chunk = chunk}, "chunk " + std::to_string(chunk));
    }
  }
}

TEST(Invariance, BlockSize) {
  for (const NamedSpec& model : all_specs()) {
    const Baseline base(model);
    for (int32_t block_size : {1, 8, 32, 64}) {
      base.expect_same({.block_size = block_size}, "block " + std::to_string(block_size));
    }
  }
}

TEST(Invariance, KvTypesAreEachConsistent) {
  const NamedSpec model = nine_heads();
  std::vector<Generation> runs;
  for (DType kv :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kK16V8, DType::kK16V16}) {
    const Baseline base(model, {.kv_dtype = kv});
    base.expect_same({.kv_dtype = kv, .block_size = 8, .chunk = 7}, "chunk 7, block 8");
    base.expect_same({.isa = Isa::kReference, .kv_dtype = kv}, "reference");
    runs.push_back(base.expected);
  }
  EXPECT_NE(runs[0].logits, runs[1].logits) << "the KV type is part of the numbers";
  EXPECT_NE(runs[1].logits, runs[2].logits);
  EXPECT_NE(runs[1].logits, runs[3].logits);
}

TEST(Invariance, Neighbours) {
  for (const NamedSpec& model : all_specs()) {
    const FakeModelFile file(model.spec);
    std::vector<Ids> prompts;
    for (int i = 0; i < 8; ++i) {
      prompts.push_back(random_prompt(1 + 13 * i, model.spec.shape.vocab_size, 20 + i));
    }
    ModelRunner runner(file, {.n_ranks = 2, .chunk = 16});
    const std::vector<Generation> together = runner.generate_together(prompts, kNew);
    for (size_t i = 0; i < prompts.size(); ++i) {
      expect_same_bits(together[i], run(model, {}, prompts[i], kNew),
                       model.name + ", one of eight, number " + std::to_string(i));
    }
  }
}

TEST(Invariance, WhatRanBeforeInTheSamePages) {
  const NamedSpec model = nine_heads();
  const FakeModelFile file(model.spec);
  ModelRunner runner(file, {});
  const Ids one_token{3};
  const Generation first = runner.generate(one_token, kNew);
  const Ids prompt = random_prompt(90, model.spec.shape.vocab_size, 31);
  const Generation long_first = runner.generate(prompt, kNew);
  for (int round = 0; round < 3; ++round) {
    expect_same_bits(runner.generate(one_token, kNew), first, "one token, again");
    expect_same_bits(runner.generate(prompt, kNew), long_first, "long prompt, again");
  }
}

}  // namespace
}  // namespace lockstep::testing
