#include <algorithm>
#include <cmath>
#include <limits>

#include "bench/gpu/bit_cases.h"
#include "kernels/sampling.h"

namespace lockstep::gpu_check {
namespace {

constexpr int64_t kMaxModelLen = 500;

// Rows to sample, each with the sequence slot of its own index.
struct Batch {
  int64_t vocab_size;
  std::vector<float> logits;
  std::vector<SamplingRow> rows;
  std::vector<int32_t> token_ids, banned;

  void add(const std::vector<float>& z, SamplingRow row, int64_t n_prompt = 0,
           const std::vector<int32_t>& known = {}) {
    logits.insert(logits.end(), z.begin(), z.end());
    row.seq_slot = static_cast<int32_t>(rows.size());
    row.n_prompt = static_cast<int32_t>(n_prompt);
    row.n_known = static_cast<int32_t>(known.size());
    rows.push_back(row);
    token_ids.insert(token_ids.end(), known.begin(), known.end());
    token_ids.resize(rows.size() * static_cast<size_t>(kMaxModelLen), -7);
  }

  std::vector<Output> run(Side& side) {
    const int64_t n = std::ssize(rows);
    std::vector<int32_t> ids(rows.size(), -9), top_ids(rows.size() * kMaxTopLogprobs, -9);
    std::vector<float> logprobs(rows.size(), -9.0f), top_logprobs(top_ids.size(), -9.0f);
    std::vector<uint8_t> finite(rows.size(), 9);
    SampleArgs args;
    args.logits = side.in(logits, {n, vocab_size});
    args.rows = side.place(rows);
    args.banned = side.in(banned, {std::ssize(banned)});
    args.needs = needs_of(rows);
    args.token_ids = side.out("token_ids", token_ids, {n, kMaxModelLen});
    args.ids = side.out("ids", ids, {n});
    args.logprobs = side.out("logprobs", logprobs, {n});
    args.top_ids = side.out("top_ids", top_ids, {n, kMaxTopLogprobs});
    args.top_logprobs = side.out("top_logprobs", top_logprobs, {n, kMaxTopLogprobs});
    args.finite = side.out("finite", finite, {n});
    sample(args, side.stream());
    return side.outputs();
  }
};

// Logits like those of a model: many near each other, some well above. Rounded, many are equal.
std::vector<float> logits_of(Random& random, int64_t n, bool rounded) {
  std::vector<float> z(static_cast<size_t>(n));
  for (float& v : z) {
    v = random.normal(2.0f) + (random.integer(0, 49) == 0 ? 8.0f : 0.0f);
    if (rounded) v = std::round(v);
  }
  return z;
}

std::vector<int32_t> ids_of(Random& random, int64_t n, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    ids.push_back(static_cast<int32_t>(random.integer(-1, vocab_size)));
  }
  return ids;
}

SamplingRow random_row(Random& random, int64_t vocab_size) {
  constexpr float kTemperatures[] = {0.0f, 0.1f, 0.7f, 1.0f, 1.5f, 30.0f};
  const auto chance = [&](int percent) { return random.integer(0, 99) < percent; };
  SamplingRow row;
  row.temperature = kTemperatures[random.integer(0, 5)];
  if (chance(50)) row.top_p = static_cast<float>(random.integer(0, 100)) / 100.0f;
  if (chance(40)) row.min_p = static_cast<float>(random.integer(0, 100)) / 300.0f;
  if (chance(40)) row.top_k = static_cast<int32_t>(random.integer(1, vocab_size + 2));
  if (chance(30)) row.repetition_penalty = 0.5f + 0.1f * static_cast<float>(random.integer(0, 12));
  if (chance(30)) row.presence_penalty = 0.25f * static_cast<float>(random.integer(-8, 8));
  if (chance(30)) row.frequency_penalty = 0.25f * static_cast<float>(random.integer(-8, 8));
  row.n_logprobs = static_cast<int32_t>(random.integer(-1, kMaxTopLogprobs));
  row.seed = random.engine()();
  row.output_idx = static_cast<uint32_t>(random.integer(0, 1000));
  row.choice = static_cast<uint32_t>(random.integer(0, 3));
  row.min_tokens_left = chance(30) ? 1 : 0;
  row.banned_first = static_cast<int32_t>(random.integer(0, 2));
  row.n_banned = static_cast<int32_t>(random.integer(0, 2));
  return row;
}

std::vector<Output> run_random(int64_t vocab_size, int n_rows, Side& side) {
  Random random(static_cast<uint64_t>(vocab_size));
  Batch batch{vocab_size, {}, {}, {}, ids_of(random, 4, vocab_size)};
  for (int i = 0; i < n_rows; ++i) {
    const int64_t n_prompt = random.integer(0, 20);
    const int64_t n_known = n_prompt + random.integer(0, i % 4 == 0 ? 400 : 20);
    const SamplingRow row = random_row(random, vocab_size);
    batch.add(logits_of(random, vocab_size, random.integer(0, 2) == 0), row, n_prompt,
              ids_of(random, n_known, vocab_size));
  }
  return batch.run(side);
}

// Parameters at their extremes, rows that are not finite, and rows of which every id is banned.
std::vector<Output> run_extreme(Side& side) {
  constexpr int64_t kVocab = 300;
  Random random(3);
  Batch batch{kVocab, {}, {}, {}, {4, 4, 299}};
  const auto add = [&](const SamplingRow& row) {
    batch.add(logits_of(random, kVocab, true), row, 2, {9, 4, 4, 4, -1, 300, 299});
  };
  for (const float extreme : {1e-38f, 1e-20f, 1e20f, 3e38f}) {
    SamplingRow row;
    row.n_logprobs = 5;
    row.temperature = extreme;
    add(row);
    row.top_p = 0.9f;
    add(row);
    row.top_k = 299;
    add(row);
    row.temperature = 1.0f;
    row.min_p = extreme;
    add(row);
    row.repetition_penalty = extreme;
    row.min_tokens_left = 1;
    row.n_banned = 3;
    add(row);
    row.frequency_penalty = extreme;
    row.presence_penalty = -extreme;
    add(row);
  }
  SamplingRow row;
  row.n_logprobs = 2;
  row.top_p = 0.5f;
  for (const float z : {3e38f, -3e38f, -0.0f, std::numeric_limits<float>::infinity(),
                        std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> logits(kVocab, 3e38f);
    std::fill(logits.begin() + 7, logits.end() - 1, z);
    batch.add(logits, row);
  }
  std::vector<float> zeros(kVocab, 0.0f);  // -0 and +0 are equal
  for (size_t i = 0; i < zeros.size(); i += 3) zeros[i] = -0.0f;
  row.top_k = 4;
  batch.add(zeros, row);
  return batch.run(side);
}

std::vector<Output> run_all_banned(Side& side) {
  Random random(4);
  Batch batch{3, {}, {}, {}, {2, 0, 1}};
  SamplingRow row;
  row.min_tokens_left = 1;
  row.n_logprobs = 3;
  row.n_banned = 3;
  for (const float temperature : {0.0f, 1.0f}) {
    row.temperature = temperature;
    row.top_k = temperature > 0 ? 2 : 0;
    batch.add(logits_of(random, 3, false), row);
  }
  row.temperature = 0.0f;
  row.repetition_penalty = 2.0f;
  batch.add(logits_of(random, 3, false), row, 2, {0, 1, 1, 1, 2});
  return batch.run(side);
}

// Flat rows, of which thousands of ids are sorted, and draws from their ends.
std::vector<Output> run_flat(int64_t vocab_size, Side& side) {
  Random random(5);
  Batch batch{vocab_size, {}, {}, {}, {}};
  for (int i = 0; i < 6; ++i) {
    SamplingRow row;
    row.seed = static_cast<uint64_t>(i);
    row.temperature = i < 3 ? 50.0f : 1.0f;
    row.top_k = i % 2 == 1 ? static_cast<int32_t>(vocab_size * 2 / 3) : 0;
    row.top_p = i % 3 == 0 ? 1.0f : 0.97f;
    row.min_p = i == 5 ? 0.1f : 0.0f;
    row.n_logprobs = 20;
    std::vector<float> z = logits_of(random, vocab_size, i % 2 == 0);
    if (i == 2) std::sort(z.begin(), z.end());
    batch.add(z, row);
  }
  SamplingRow row;
  row.temperature = 50.0f;
  row.top_k = 100;
  row.top_p = 0.5f;
  for (row.seed = 10; row.seed < 14; ++row.seed) {
    batch.add(logits_of(random, vocab_size, false), row);
  }
  return batch.run(side);
}

// Draws at the ends of what can be drawn.
std::vector<Output> run_ends(Side& side) {
  constexpr int64_t kVocab = 300;
  Random random(7);
  Batch batch{kVocab, {}, {}, {}, {}};
  SamplingRow row;
  row.seed = 1;
  row.output_idx = 8'418'514;  // random_unit() is the largest below 1
  for (int i = 0; i < 12; ++i) {
    // The sum of the chunk can be more than that of its weights id by id, and no id is reached.
    std::vector<float> z = logits_of(random, kVocab, false);
    std::fill(z.end() - 5, z.end(), -2000.0f);  // weight 0
    row.temperature = i < 8 ? 3.0f : 1.0f;
    row.top_k = i < 8 ? 0 : 20;
    batch.add(z, row);
  }
  // Min-p removes all ids behind the 128 of the first batch.
  std::vector<float> z(kVocab, -50.0f);
  for (size_t i = 0; i < 128; ++i) z[2 * i] = random.normal(0.1f);
  row.min_p = 0.1f;
  row.top_k = 299;
  batch.add(z, row);
  row.top_p = 0.5f;
  row.output_idx = 0;
  batch.add(z, row);
  return batch.run(side);
}

// More chunks of 1024 ids than a warp has lanes.
std::vector<Output> run_wide(Side& side) {
  constexpr int64_t kVocab = 52'000;
  Random random(6);
  Batch batch{kVocab, {}, {}, {}, {}};
  SamplingRow row;
  row.n_logprobs = 20;
  batch.add(logits_of(random, kVocab, false), row);
  row.top_k = 5;
  batch.add(logits_of(random, kVocab, false), row);
  return batch.run(side);
}

}  // namespace

std::vector<BitCase> sample_cases(Sizes sizes) {
  std::vector<BitCase> list;
  const auto add = [&](const std::string& what, auto run, auto... arguments) {
    list.push_back({"sample", what, [=](Side& side) { return run(arguments..., side); }});
  };
  for (const int64_t vocab_size : {1, 2, 33, 1000, 1025, 3000}) {
    add("vocabulary of " + std::to_string(vocab_size), run_random, vocab_size,
        vocab_size > 1025 ? 7 : 12);
  }
  add("extremes", run_extreme);
  add("every id banned", run_all_banned);
  add("ends", run_ends);
  add("flat rows", run_flat, int64_t{3400});
  add("more chunks than lanes", run_wide);
  if (sizes == Sizes::kLarge) {
    add("a whole vocabulary", run_random, int64_t{151'936}, 40);
    add("a whole vocabulary, flat rows", run_flat, int64_t{151'936});
  }
  return list;
}

}  // namespace lockstep::gpu_check
