#include "tests/support/model_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

namespace lockstep::testing {

RankGroupConfig ModelRunner::group_config(const RunnerOptions& options, ModelRunner* runner) {
  RankGroupConfig config;
  config.devices = options.devices;
  config.n_ranks = options.n_ranks;
  config.threads_per_rank = options.threads_per_rank;
  config.isa = options.isa;
  config.kv_dtype = options.kv_dtype;
  config.limits.max_tokens = options.max_seqs * options.chunk;
  config.limits.max_seqs = options.max_seqs;
  config.limits.max_samples = options.max_seqs;
  config.limits.max_model_len = options.max_model_len;
  config.limits.block_size = options.block_size;
  config.n_kv_blocks = options.max_seqs * config.limits.max_blocks_per_seq();
  config.collective_ticks = 600;
  config.on_logits = [runner](uint64_t, std::span<const float> logits) {
    runner->step_logits_.assign(logits.begin(), logits.end());
  };
  return config;
}

ModelRunner::ModelRunner(const ModelFile& file, const RunnerOptions& options)
    : options_(options),
      config_(group_config(options, this)),
      shuffled_(static_cast<size_t>(config_.n_kv_blocks)),
      builder_(config_.limits),
      group_(file, config_, ledger_) {
  std::vector<int32_t> ids(shuffled_.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(7));
  std::transform(ids.begin(), ids.end(), shuffled_.begin(), [](int32_t id) { return BlockId{id}; });
}

std::vector<BlockId> ModelRunner::blocks_of(int slot) const {
  const auto n = config_.limits.max_blocks_per_seq();
  return {shuffled_.begin() + slot * n, shuffled_.begin() + (slot + 1) * n};
}

Generation ModelRunner::generate(const Ids& prompt, int n_new) {
  return generate_together({prompt}, n_new).front();
}

std::vector<Generation> ModelRunner::generate_together(const std::vector<Ids>& prompts, int n_new) {
  std::vector<Sequence> sequences;
  for (size_t i = 0; i < prompts.size(); ++i) {
    sequences.push_back({prompts[i], 0, blocks_of(static_cast<int>(i)), {}});
  }
  const auto unfinished = [&](const Sequence& s) {
    return s.out.ids.size() < static_cast<size_t>(n_new);
  };
  while (std::any_of(sequences.begin(), sequences.end(), unfinished)) step(sequences, n_new);
  std::vector<Generation> generations;
  for (Sequence& sequence : sequences) generations.push_back(std::move(sequence.out));
  return generations;
}

void ModelRunner::step(std::vector<Sequence>& sequences, int n_new) {
  builder_.begin(++n_steps_);
  std::vector<Sequence*> sampled;
  for (size_t slot = 0; slot < sequences.size(); ++slot) {
    Sequence& s = sequences[slot];
    if (s.out.ids.size() == static_cast<size_t>(n_new)) continue;
    const auto n_left = static_cast<int32_t>(s.tokens.size()) - s.n_computed;
    const int32_t n = std::min(n_left, options_.chunk);
    builder_.add_sequence(
        static_cast<int32_t>(slot), s.n_computed,
        std::span(s.tokens).subspan(static_cast<size_t>(s.n_computed), static_cast<size_t>(n)),
        s.blocks);
    s.n_computed += n;
    if (n < n_left) continue;
    SamplingRow row;
    row.temperature = 0.0f;
    row.seq_slot = static_cast<int32_t>(slot);
    row.n_prompt = row.n_known = static_cast<int32_t>(s.tokens.size());
    builder_.add_sample(row);
    sampled.push_back(&s);
  }
  run_plan();
  const auto vocab_size = static_cast<size_t>(group_.model().shape.vocab_size);
  for (size_t i = 0; i < sampled.size(); ++i) {
    Sequence& s = *sampled[i];
    const auto row = step_logits_.begin() + static_cast<int64_t>(i * vocab_size);
    s.out.logits.emplace_back(row, row + static_cast<int64_t>(vocab_size));
    s.out.ids.push_back(result_.ids[i]);
    s.tokens.push_back(result_.ids[i]);
  }
}

void ModelRunner::run_plan() {
  group_.submit(builder_.finish());
  group_.wait_result(result_);
  if (result_.status != StepStatus::kOk) throw std::runtime_error(result_.message);
}

std::vector<Logits> ModelRunner::forced_logits(const Ids& tokens) {
  const std::vector<BlockId> blocks = blocks_of(0);
  const auto vocab_size = static_cast<int64_t>(group_.model().shape.vocab_size);
  std::vector<Logits> all;
  const auto n_tokens = static_cast<int32_t>(tokens.size());
  for (int32_t first = 0; first < n_tokens; first += options_.max_seqs) {
    const int32_t n = std::min(options_.max_seqs, n_tokens - first);
    builder_.begin(++n_steps_);
    for (int32_t i = first; i < first + n; ++i) {
      builder_.add_sequence(0, i, std::span(tokens).subspan(static_cast<size_t>(i), 1), blocks);
      SamplingRow row;
      row.temperature = 0.0f;
      row.n_prompt = row.n_known = i + 1;
      builder_.add_sample(row);
    }
    run_plan();
    for (int32_t i = 0; i < n; ++i) {
      const auto row = step_logits_.begin() + i * vocab_size;
      all.emplace_back(row, row + vocab_size);
    }
  }
  return all;
}

Logits ModelRunner::last_logits(const Ids& tokens, int32_t n_past) {
  const std::vector<BlockId> blocks = blocks_of(0);
  const auto past = std::span(tokens).first(static_cast<size_t>(n_past));
  if (!past.empty()) {
    builder_.begin(++n_steps_);
    builder_.add_sequence(0, 0, past, blocks);
    run_plan();
  }
  builder_.begin(++n_steps_);
  builder_.add_sequence(0, n_past, std::span(tokens).subspan(past.size()), blocks);
  SamplingRow row;
  row.temperature = 0.0f;
  row.n_prompt = row.n_known = static_cast<int32_t>(tokens.size());
  builder_.add_sample(row);
  run_plan();
  return step_logits_;
}

Ids random_prompt(int n_tokens, int64_t vocab_size, uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::uniform_int_distribution<int32_t> id(0, static_cast<int32_t>(vocab_size) - 1);
  Ids prompt(static_cast<size_t>(n_tokens));
  std::generate(prompt.begin(), prompt.end(), [&] { return id(engine); });
  return prompt;
}

void expect_same_bits(const Generation& actual, const Generation& expected,
                      const std::string& what) {
  EXPECT_EQ(actual.ids, expected.ids) << what;
  ASSERT_EQ(actual.logits.size(), expected.logits.size()) << what;
  for (size_t t = 0; t < expected.logits.size(); ++t) {
    ASSERT_EQ(actual.logits[t].size(), expected.logits[t].size()) << what;
    for (size_t i = 0; i < expected.logits[t].size(); ++i) {
      const float a = actual.logits[t][i], b = expected.logits[t][i];
      const bool same = std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
                        (std::isnan(a) && std::isnan(b));
      ASSERT_TRUE(same) << what << ": token " << t << ", logit " << i << ": " << a << " vs " << b;
    }
  }
}

}  // namespace lockstep::testing
