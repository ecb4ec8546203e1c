// The sampler: every back end draws the ids that the reference draws, by the rules of section 5 of
// docs/numerics.md.
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tests/unit/kernels/isa_support.h"
#include "tests/unit/kernels/sample_support.h"

namespace lockstep {
namespace {

using testing::equal_samples;
using testing::for_each_stream;
using testing::make_stream;
using testing::random_logits;
using testing::reference_stream;
using testing::SampleBatch;
using testing::Sampled;
using testing::SeededRandom;

std::vector<int32_t> random_ids(SeededRandom& random, int64_t n, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    ids.push_back(static_cast<int32_t>(random.integer(0, vocab_size - 1)));
  }
  return ids;
}

SamplingRow random_row(SeededRandom& random, int64_t vocab_size) {
  SamplingRow row;
  constexpr float kTemperatures[] = {0.0f, 0.1f, 0.7f, 1.0f, 1.5f, 30.0f};
  row.temperature = kTemperatures[random.integer(0, 5)];
  if (random.chance(0.5)) row.top_p = static_cast<float>(random.integer(0, 100)) / 100.0f;
  if (random.chance(0.4)) row.min_p = static_cast<float>(random.integer(0, 100)) / 300.0f;
  if (random.chance(0.4)) row.top_k = static_cast<int32_t>(random.integer(1, vocab_size + 2));
  if (random.chance(0.3)) row.repetition_penalty = 0.5f + 0.1f * random.integer(0, 12);
  if (random.chance(0.3)) row.presence_penalty = 0.25f * random.integer(-8, 8);
  if (random.chance(0.3)) row.frequency_penalty = 0.25f * random.integer(-8, 8);
  row.n_logprobs = static_cast<int32_t>(random.integer(-1, kMaxTopLogprobs));
  row.seed = random.engine()();
  row.output_idx = static_cast<uint32_t>(random.integer(0, 1000));
  row.choice = static_cast<uint32_t>(random.integer(0, 3));
  if (random.chance(0.3)) row.min_tokens_left = 1;
  row.banned_first = static_cast<int32_t>(random.integer(0, 2));
  row.n_banned = static_cast<int32_t>(random.integer(0, 2));
  return row;
}

SampleBatch random_batch(SeededRandom& random, int64_t vocab_size, int n_rows) {
  SampleBatch batch(vocab_size);
  batch.banned = random_ids(random, 4, vocab_size);
  for (int i = 0; i < n_rows; ++i) {
    batch.add(random_logits(random, vocab_size, random.chance(0.4)), random_row(random, vocab_size),
              random_ids(random, random.integer(0, 20), vocab_size),
              random_ids(random, random.integer(0, 40), vocab_size));
  }
  return batch;
}

TEST(Sample, EveryBackEndDrawsWhatTheReferenceDraws) {
  for (const int64_t vocab_size : {1, 2, 5, 33, 100, 1000, 1024, 1025, 3000, 5000}) {
    SeededRandom random(static_cast<uint64_t>(vocab_size));
    const SampleBatch batch = random_batch(random, vocab_size, 40);
    const Sampled expected = batch.run(*reference_stream());
    for_each_stream(
        [&](Stream& s) { ASSERT_TRUE(equal_samples(expected, batch.run(s))) << vocab_size; });
  }
}

TEST(Sample, AWholeVocabularyDrawsWhatTheReferenceDraws) {
  SeededRandom random(2);
  const SampleBatch batch = random_batch(random, 49152, 12);
  const Sampled expected = batch.run(*reference_stream());
  for (Isa isa : available_isas().subspan(1)) {
    ASSERT_TRUE(equal_samples(expected, batch.run(*make_stream(isa, 2)))) << to_string(isa);
  }
}

TEST(Sample, ParametersAtTheirExtremesDrawWhatTheReferenceDraws) {
  SeededRandom random(3);
  SampleBatch batch(300);
  batch.banned = random_ids(random, 3, 300);
  const auto add = [&](const SamplingRow& row) {
    batch.add(random_logits(random, 300, true), row, random_ids(random, 9, 300),
              {4, 4, 4, -1, 300, 299});
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
    add(row);
    row.frequency_penalty = extreme;
    add(row);
    row.presence_penalty = -extreme;
    add(row);
  }
  SamplingRow flat;  // huge logits, all equal
  flat.top_p = 0.5f;
  batch.add(std::vector<float>(300, 3e38f), flat);
  batch.add(std::vector<float>(300, -3e38f), flat);
  const Sampled expected = batch.run(*reference_stream());
  for (uint8_t finite : expected.finite) EXPECT_EQ(finite, 1);
  for_each_stream([&](Stream& s) { ASSERT_TRUE(equal_samples(expected, batch.run(s))); });
}

// The id of one greedy row.
int32_t greedy(const std::vector<float>& z, SamplingRow row,
               const std::vector<int32_t>& prompt = {}, const std::vector<int32_t>& output = {}) {
  SampleBatch batch(static_cast<int64_t>(z.size()));
  row.temperature = 0.0f;
  batch.add(z, row, prompt, output);
  const Sampled expected = batch.run(*reference_stream());
  for_each_stream([&](Stream& s) { EXPECT_TRUE(equal_samples(expected, batch.run(s))); });
  return expected.ids[0];
}

TEST(Sample, GreedyTakesTheLargestAndOfEqualsTheLowestId) {
  std::vector<float> z(200, -1.0f);
  z[150] = z[37] = z[199] = 4.0f;
  EXPECT_EQ(greedy(z, {}), 37);
  EXPECT_EQ(greedy(std::vector<float>(77, 0.0f), {}), 0);
  std::vector<float> zeros(77, -1.0f);
  zeros[20] = -0.0f;
  zeros[30] = 0.0f;
  EXPECT_EQ(greedy(zeros, {}), 20);
}

TEST(Sample, PenaltiesAreOverPromptAndOutputAsEachIsDefined) {
  // Three candidates, one in the prompt, one in the output.
  const std::vector<float> z = {3.0f, 2.9f, 2.0f, -5.0f};
  SamplingRow row;
  EXPECT_EQ(greedy(z, row, {0}, {1}), 0);
  row.repetition_penalty = 2.0f;
  EXPECT_EQ(greedy(z, row, {0}, {1}), 2);
  row.repetition_penalty = 1.0f;
  row.presence_penalty = 1.5f;
  EXPECT_EQ(greedy(z, row, {0}, {1}), 0);  // ids of the prompt do not count
  EXPECT_EQ(greedy(z, row, {1}, {0}), 1);
  row.presence_penalty = 0.0f;
  row.frequency_penalty = 0.06f;
  EXPECT_EQ(greedy(z, row, {}, {0}), 0);
  EXPECT_EQ(greedy(z, row, {}, {0, 0}), 1);
}

TEST(Sample, BannedIdsComeBackWhenMinTokensIsReached) {
  SampleBatch batch(4);
  batch.banned = {9, 0, 2};
  SamplingRow row;
  row.temperature = 0.0f;
  row.banned_first = 1;
  row.n_banned = 2;
  row.min_tokens_left = 1;
  row.n_logprobs = 1;
  const std::vector<float> z = {5.0f, 1.0f, 4.0f, 2.0f};
  batch.add(z, row);
  row.min_tokens_left = 0;
  batch.add(z, row);
  row.min_tokens_left = 1;
  row.temperature = 100.0f;
  for (row.top_k = 0; row.top_k < 4; ++row.top_k) {
    for (uint32_t i = 0; i < 50; ++i) {
      row.output_idx = i;
      row.top_p = i % 2 == 0 ? 1.0f : 0.99f;
      batch.add(z, row);
    }
  }
  const Sampled expected = batch.run(*reference_stream());
  EXPECT_EQ(expected.ids[0], 3);
  EXPECT_EQ(expected.top_ids[0], 0);  // log-probabilities are of the raw logits
  EXPECT_EQ(expected.ids[1], 0);
  for (size_t i = 2; i < expected.ids.size(); ++i) {
    ASSERT_TRUE(expected.ids[i] == 1 || expected.ids[i] == 3);
  }
  for_each_stream([&](Stream& s) { ASSERT_TRUE(equal_samples(expected, batch.run(s))); });
}

TEST(Sample, WithEveryIdBannedItIsIdZero) {
  for (const float temperature : {0.0f, 1.0f}) {
    SampleBatch batch(2);
    batch.banned = {0, 1};
    SamplingRow row;
    row.temperature = temperature;
    row.min_tokens_left = 1;
    row.n_banned = 2;
    row.n_logprobs = 2;
    batch.add({1.0f, 2.0f}, row);
    const Sampled expected = batch.run(*reference_stream());
    EXPECT_EQ(expected.ids[0], 0);
    for_each_stream([&](Stream& s) { ASSERT_TRUE(equal_samples(expected, batch.run(s))); });
  }
}

TEST(Sample, NarrowFiltersLeaveTheBest) {
  SeededRandom random(7);
  SampleBatch batch(500);
  std::vector<int32_t> best;
  for (uint32_t i = 0; i < 60; ++i) {
    SamplingRow row;
    row.temperature = 50.0f;
    row.output_idx = i;
    if (i % 3 == 0) row.top_k = 1;
    if (i % 3 == 1) row.top_p = 1e-6f;
    if (i % 3 == 2) row.min_p = 1.0f;
    const auto z = random_logits(random, 500);
    best.push_back(static_cast<int32_t>(std::max_element(z.begin(), z.end()) - z.begin()));
    batch.add(z, row);
  }
  EXPECT_EQ(batch.run(*reference_stream()).ids, best);
  for_each_stream([&](Stream& s) { ASSERT_EQ(batch.run(s).ids, best); });
}

TEST(Sample, TheDrawDependsOnSeedIndexAndChoiceAndNothingElse) {
  SeededRandom random(8);
  const auto z = random_logits(random, 400);
  SamplingRow row;
  row.temperature = 3.0f;
  SampleBatch batch(400);
  for (uint32_t i = 0; i < 90; ++i) {
    row.seed = i / 30 == 0 ? i : 7;
    row.output_idx = i / 30 == 1 ? i : 7;
    row.choice = i / 30 == 2 ? i : 7;
    batch.add(z, row);
  }
  const auto ids = batch.run(*reference_stream()).ids;
  for (int part = 0; part < 3; ++part) {
    EXPECT_GT(std::set<int32_t>(ids.begin() + 30 * part, ids.begin() + 30 * (part + 1)).size(),
              10u);
  }
  // Alone, each row draws the id that it drew beside 89 others.
  for (size_t i = 0; i < 90; i += 11) {
    SampleBatch alone(400);
    alone.add(z, batch.rows[i]);
    EXPECT_EQ(alone.run(*make_stream(best_isa(), 2)).ids[0], ids[i]);
  }
}

TEST(Sample, LogprobsAreOfTheRawLogits) {
  SeededRandom random(9);
  const auto z = random_logits(random, 3000, true);
  double sum = 0;
  const double max = *std::max_element(z.begin(), z.end());
  for (float v : z) sum += std::exp(v - max);
  SamplingRow row;
  row.temperature = 0.5f;
  row.repetition_penalty = 1.5f;
  row.frequency_penalty = 1.0f;
  row.n_logprobs = 20;
  SampleBatch batch(3000);
  std::vector<int32_t> everything(60);
  std::iota(everything.begin(), everything.end(), 0);
  for (uint32_t i = 0; i < 10; ++i) {
    row.output_idx = i;
    batch.add(z, row, everything);
  }
  const Sampled got = batch.run(*make_stream(best_isa(), 1));
  const double tolerance = 200 * 0x1p-24 * std::log(sum) + 20 * 0x1p-24;
  for (size_t i = 0; i < 10; ++i) {
    const auto exact = [&](int32_t id) { return z[id] - max - std::log(sum); };
    EXPECT_NEAR(got.logprobs[i], exact(got.ids[i]), tolerance + 1e-6);
    for (size_t j = 0; j < 20; ++j) {
      const int32_t id = got.top_ids[i * 20 + j];
      EXPECT_NEAR(got.top_logprobs[i * 20 + j], exact(id), tolerance + 1e-6);
      if (j == 0) continue;
      const int32_t before = got.top_ids[i * 20 + j - 1];
      EXPECT_TRUE(z[before] > z[id] || (z[before] == z[id] && before < id));
    }
  }
}

TEST(Sample, OnlyTheWantedLogprobsAreWritten) {
  SampleBatch batch(3);
  for (const int32_t n : {-1, 0, 2, 20}) {
    SamplingRow row;
    row.n_logprobs = n;
    batch.add({1.0f, 2.0f, 3.0f}, row);
  }
  const Sampled got = batch.run(*reference_stream());
  EXPECT_EQ(got.logprobs[0], -9.0f);
  EXPECT_NE(got.logprobs[1], -9.0f);
  EXPECT_EQ(got.top_ids[20], -9);
  EXPECT_EQ(std::vector<int32_t>(got.top_ids.begin() + 40, got.top_ids.begin() + 44),
            (std::vector<int32_t>{2, 1, -9, -9}));
  EXPECT_EQ(std::vector<int32_t>(got.top_ids.begin() + 60, got.top_ids.begin() + 64),
            (std::vector<int32_t>{2, 1, 0, -9}));
  for_each_stream([&](Stream& s) { ASSERT_TRUE(equal_samples(got, batch.run(s))); });
}

TEST(Sample, ANanOrInfinityIsFlaggedAndStaysInItsRow) {
  SeededRandom random(10);
  SampleBatch clean(1500);
  clean.banned = {5, 6, 7, 8};
  for (int i = 0; i < 6; ++i) clean.add(random_logits(random, 1500), random_row(random, 1500));
  SampleBatch broken = clean;
  broken.logits[1500 * 1 + 1499] = std::numeric_limits<float>::quiet_NaN();
  broken.logits[1500 * 3] = std::numeric_limits<float>::infinity();
  broken.logits[1500 * 5 + 700] = -std::numeric_limits<float>::infinity();
  const Sampled whole = clean.run(*reference_stream());
  const Sampled expected = broken.run(*reference_stream());
  EXPECT_EQ(expected.finite, (std::vector<uint8_t>{1, 0, 1, 0, 1, 0}));
  for (size_t i : {1, 3, 5}) {
    EXPECT_EQ(expected.ids[i], 0);
    EXPECT_EQ(expected.logprobs[i], -9.0f);
  }
  for (size_t i : {0, 2, 4}) EXPECT_EQ(expected.ids[i], whole.ids[i]);
  for_each_stream([&](Stream& s) { ASSERT_TRUE(equal_samples(expected, broken.run(s))); });
}

TEST(Sample, TheTokenIsAppendedToTheHistoryOfItsSlot) {
  SampleBatch batch(5);
  SamplingRow row;
  row.temperature = 0.0f;
  batch.add({0.0f, 1.0f, 2.0f, 3.0f, 0.0f}, row, {1, 2}, {4});
  const Sampled got = batch.run(*make_stream(best_isa(), 1));
  EXPECT_EQ(std::vector<int32_t>(got.token_ids.begin(), got.token_ids.begin() + 5),
            (std::vector<int32_t>{1, 2, 4, 3, -7}));
}

TEST(SampleDeathTest, ARowThatNamesWhatIsNotThereIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  SampleBatch batch(5);
  batch.add(std::vector<float>(5), {});
  batch.rows[0].n_known = 64;
  EXPECT_DEATH(batch.run(*make_stream(best_isa(), 1)), "sampling.h");
  batch.rows[0].n_known = 0;
  batch.rows[0].n_banned = 1;
  EXPECT_DEATH(batch.run(*make_stream(best_isa(), 1)), "sampling.h");
  batch.rows[0].n_banned = 0;
  batch.rows[0].seq_slot = 1;
  EXPECT_DEATH(batch.run(*make_stream(best_isa(), 1)), "sampling.h");
}

}  // namespace
}  // namespace lockstep
