// The reference sampler against the exact distribution: the frequency of every id is the one that
// the usual meaning of the parameters gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "tests/unit/kernels/isa_support.h"
#include "tests/unit/kernels/sample_support.h"

namespace lockstep {
namespace {

using testing::make_stream;
using testing::random_logits;
using testing::SampleBatch;
using testing::SeededRandom;

// The meaning of the parameters, in double and without any code of the engine: the probability of
// every id under temperature, then min-p, then top-k, then top-p.
std::vector<double> exact_distribution(const std::vector<double>& z, const SamplingRow& row) {
  std::vector<size_t> order(z.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return z[a] > z[b]; });
  std::vector<double> p(z.size());
  for (size_t i = 0; i < z.size(); ++i) p[i] = std::exp((z[i] - z[order[0]]) / row.temperature);
  std::erase_if(order, [&](size_t i) { return p[i] < row.min_p; });
  if (row.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(row.top_k)));
  double total = 0;
  for (size_t i : order) total += p[i];
  double running = 0;
  size_t n = 0;
  while (n < order.size() && (n == 0 || running < row.top_p * total)) running += p[order[n++]];
  order.resize(n);
  std::vector<double> result(z.size());
  for (size_t i : order) result[i] = p[i] / running;
  return result;
}

// Draws n_draws tokens under successive output indices and compares their counts with the exact
// distribution: no id of probability zero is drawn, and chi-square is below the value that a
// correct sampler exceeds once in a million (Wilson-Hilferty).
void expect_distribution(const std::vector<float>& z, const std::vector<double>& penalised,
                         SamplingRow row, const std::vector<int32_t>& output = {}) {
  constexpr int kDraws = 4000;
  const auto exact = exact_distribution(penalised, row);
  SampleBatch batch(static_cast<int64_t>(z.size()));
  row.seed = 12345;
  for (uint32_t i = 0; i < kDraws; ++i) {
    row.output_idx = i;
    batch.add(z, row, {}, output);
  }
  std::vector<int> counts(z.size());
  for (int32_t id : batch.run(*make_stream(best_isa(), 2)).ids) ++counts[id];
  double chi_square = 0;
  double pooled_expected = 0, pooled_count = 0;  // bins with fewer than 5 expected are one bin
  int n_bins = 0;
  for (size_t i = 0; i < z.size(); ++i) {
    const double expected = exact[i] * kDraws;
    if (exact[i] == 0) {
      ASSERT_EQ(counts[i], 0) << "id " << i << " must not be drawn";
    } else if (expected < 5) {
      pooled_expected += expected;
      pooled_count += counts[i];
    } else {
      chi_square += std::pow(counts[i] - expected, 2) / expected;
      ++n_bins;
    }
  }
  if (pooled_expected > 0) {
    chi_square += std::pow(pooled_count - pooled_expected, 2) / std::max(pooled_expected, 1.0);
    ++n_bins;
  }
  const double k = std::max(1, n_bins - 1);
  const double limit = k * std::pow(1 - 2 / (9 * k) + 4.75 * std::sqrt(2 / (9 * k)), 3);
  EXPECT_LE(chi_square, limit) << n_bins << " bins";
}

TEST(Sample, FollowsTheExactDistribution) {
  SeededRandom random(5);
  const auto z = random_logits(random, 60);
  const std::vector<double> wide(z.begin(), z.end());
  SamplingRow row;
  expect_distribution(z, wide, row);
  row.temperature = 0.6f;
  expect_distribution(z, wide, row);
  row.temperature = 2.5f;
  expect_distribution(z, wide, row);
  row.top_k = 7;
  expect_distribution(z, wide, row);
  row.top_p = 0.8f;
  expect_distribution(z, wide, row);
  row.top_k = 0;
  expect_distribution(z, wide, row);
  row.min_p = 0.05f;
  expect_distribution(z, wide, row);
  row.top_p = 1.0f;
  expect_distribution(z, wide, row);
}

TEST(Sample, FollowsTheExactDistributionOverManyChunksOfIds) {
  // 3000 ids, of which 12 matter; every chunk has some of them.
  std::vector<float> z(3000, -40.0f);
  for (size_t i = 0; i < 12; ++i) z[i * 271 + 5] = 0.3f * static_cast<float>(i % 5);
  expect_distribution(z, {z.begin(), z.end()}, SamplingRow{});
}

TEST(Sample, PenaltiesChangeTheDistributionAsTheirFormulasSay) {
  SeededRandom random(6);
  const auto z = random_logits(random, 30);
  SamplingRow row;
  row.temperature = 2.0f;
  row.repetition_penalty = 1.3f;
  row.presence_penalty = 0.5f;
  row.frequency_penalty = 0.4f;
  const std::vector<int32_t> output = {3, 9, 9, 9, 17, 3};
  std::vector<double> penalised(z.begin(), z.end());
  for (const auto& [id, count] : std::map<int, int>{{3, 2}, {9, 3}, {17, 1}}) {
    double& v = penalised[static_cast<size_t>(id)];
    v = (v > 0 ? v / 1.3f : v * 1.3f) - 0.4f * count - 0.5f;
  }
  expect_distribution(z, penalised, row, output);
}

}  // namespace
}  // namespace lockstep
