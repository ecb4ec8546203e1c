// Rows to sample, and the buffers that the op needs.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ops.h"
#include "kernels/sampling.h"
#include "tests/support/equal_bits.h"
#include "tests/support/random.h"

namespace lockstep::testing {

struct Sampled {
  std::vector<int32_t> ids, top_ids, token_ids;
  std::vector<float> logprobs, top_logprobs;
  std::vector<uint8_t> finite;
};

inline ::testing::AssertionResult equal_samples(const Sampled& expected, const Sampled& got) {
  if (expected.ids != got.ids) return ::testing::AssertionFailure() << "ids differ";
  if (expected.finite != got.finite) return ::testing::AssertionFailure() << "finite differs";
  if (expected.top_ids != got.top_ids) return ::testing::AssertionFailure() << "top ids differ";
  if (expected.token_ids != got.token_ids)
    return ::testing::AssertionFailure() << "histories differ";
  const auto logprobs = equal_bits(expected.logprobs, got.logprobs);
  return logprobs ? equal_bits(expected.top_logprobs, got.top_logprobs) : logprobs;
}

struct SampleBatch {
  int64_t vocab_size = 0;
  int64_t max_model_len = 64;
  std::vector<float> logits;       // [n_rows, vocab_size]
  std::vector<SamplingRow> rows;   // row i uses sequence slot i
  std::vector<int32_t> token_ids;  // [n_rows, max_model_len]
  std::vector<int32_t> banned;

  explicit SampleBatch(int64_t n) : vocab_size(n) {}

  void add(const std::vector<float>& z, SamplingRow row, const std::vector<int32_t>& prompt = {},
           const std::vector<int32_t>& output = {}) {
    logits.insert(logits.end(), z.begin(), z.end());
    row.seq_slot = static_cast<int32_t>(rows.size());
    row.n_prompt = static_cast<int32_t>(prompt.size());
    row.n_known = static_cast<int32_t>(prompt.size() + output.size());
    std::vector<int32_t> tokens(static_cast<size_t>(max_model_len), -7);
    std::copy(output.begin(), output.end(),
              std::copy(prompt.begin(), prompt.end(), tokens.begin()));
    token_ids.insert(token_ids.end(), tokens.begin(), tokens.end());
    rows.push_back(row);
  }

  Sampled run(Stream& stream) const {
    const int64_t n = static_cast<int64_t>(rows.size());
    std::vector<float> scratch_logits = logits;
    Sampled out;
    out.token_ids = token_ids;
    out.ids.assign(rows.size(), -9);
    out.logprobs.assign(rows.size(), -9.0f);
    out.top_ids.assign(rows.size() * kMaxTopLogprobs, -9);
    out.top_logprobs.assign(out.top_ids.size(), -9.0f);
    out.finite.assign(rows.size(), 9);
    SampleArgs args;
    args.logits = view(scratch_logits.data(), {n, vocab_size});
    args.rows = rows.data();
    args.banned = view(banned.data(), {static_cast<int64_t>(banned.size())});
    args.needs = needs_of(rows);
    args.token_ids = view(out.token_ids.data(), {n, max_model_len});
    args.ids = view(out.ids.data(), {n});
    args.logprobs = view(out.logprobs.data(), {n});
    args.top_ids = view(out.top_ids.data(), {n, kMaxTopLogprobs});
    args.top_logprobs = view(out.top_logprobs.data(), {n, kMaxTopLogprobs});
    args.finite = view(out.finite.data(), {n});
    sample(args, stream);
    return out;
  }
};

// Logits like those of a model: many near each other, some well above. with_ties: rounded.
inline std::vector<float> random_logits(SeededRandom& random, int64_t n, bool with_ties = false) {
  std::vector<float> z(static_cast<size_t>(n));
  for (float& v : z) {
    v = random.normal(2.0f) + (random.chance(0.02) ? 8.0f : 0.0f);
    if (with_ties) v = std::round(v);
  }
  return z;
}

}  // namespace lockstep::testing
