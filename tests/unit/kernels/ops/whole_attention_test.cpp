// Attention over whole-number keys and values (k16v8, k16v16) at the ends of their ranges: sums
// that just fit, NaNs in scales, scales of zero. Every back end gives the bits of the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/equal_bits.h"
#include "tests/support/test_stream.h"
#include "tests/unit/kernels/attention_support.h"
#include "tests/unit/kernels/exact_attention.h"

namespace lockstep {
namespace {

using testing::attend;
using testing::AttentionShape;
using testing::equal_bits;
using testing::exact_attention;
using testing::make_stream;
using testing::PagedCache;
using testing::SeededRandom;
using testing::SequenceData;
using testing::StepRows;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class WholeAttention : public ::testing::TestWithParam<DType> {
 protected:
  static constexpr int64_t kTokens = 150;

  AttentionShape shape(int head_dim = 64, int64_t window = 0) const {
    return {GetParam(), 16, 1, 2, head_dim, window};
  }
  // The last rows of the sequence, from `first` on. Compares all back ends with the reference.
  std::vector<float> run(const AttentionShape& s, const SequenceData& data, int64_t first) const {
    SeededRandom random(5);
    PagedCache cache(random, s, 1, data.n_tokens);
    data.put_into(cache, s, 0);
    StepRows rows;
    rows.add(s, data, 0, first, data.n_tokens);
    const auto expected = attend(*make_stream(Isa::kReference, 1), s, cache, rows);
    for (Isa isa : available_isas().subspan(1)) {
      EXPECT_TRUE(equal_bits(expected, attend(*make_stream(isa, 2), s, cache, rows)))
          << to_string(isa);
    }
    return expected;
  }
};
INSTANTIATE_TEST_SUITE_P(Dtypes, WholeAttention, ::testing::Values(DType::kK16V8, DType::kK16V16),
                         [](const auto& info) {
                           return std::string(info.param == DType::kK16V8 ? "k16v8" : "k16v16");
                         });

TEST_P(WholeAttention, SumsAtTheirBoundsAreExact) {
  for (const int head_dim : {32, 80, 256}) {
    for (const float sign : {1.0f, -1.0f}) {
      SeededRandom random(1);
      const AttentionShape s = shape(head_dim);
      SequenceData data(random, s, kTokens);
      // Every whole number has its largest magnitude, and every key the same weight.
      for (float& q : data.q) q = 0.01f;
      for (float& k : data.k) k = sign * 3.0f;
      for (float& v : data.v) v = sign * 5.0f;
      for (const float o : run(s, data, kTokens - 5)) ASSERT_NEAR(o, sign * 5.0f, 1e-5);
    }
  }
}

TEST_P(WholeAttention, ANanInAValueShowsEvenIfItsWeightIsZero) {
  SeededRandom random(2);
  const AttentionShape s = shape();
  SequenceData data(random, s, kTokens);
  for (float& q : data.q) q = 1.0f;
  for (int64_t d = 0; d < 64; ++d) data.k[static_cast<size_t>(70 * 64 + d)] = -1e4f;  // p = 0
  for (const float o : run(s, data, kTokens - 1)) ASSERT_TRUE(std::isfinite(o));
  data.v[70 * 64 + 9] = kNan;
  for (const float o : run(s, data, kTokens - 1)) ASSERT_TRUE(std::isnan(o));
}

TEST_P(WholeAttention, ANanOrInfInAKeyOrQueryMakesTheHeadNan) {
  for (const float bad : {kNan, std::numeric_limits<float>::infinity()}) {
    SeededRandom random(3);
    const AttentionShape s = shape(80);
    SequenceData data(random, s, kTokens);
    data.k[60 * 80 + 79] = bad;
    for (const float o : run(s, data, kTokens - 1)) ASSERT_TRUE(std::isnan(o));
    SequenceData other(random, s, kTokens);
    other.q[static_cast<size_t>((kTokens - 1) * 160 + 3)] = bad;  // of the first of two heads
    const auto out = run(s, other, kTokens - 1);
    for (size_t d = 0; d < 160; ++d) ASSERT_EQ(std::isnan(out[d]), d < 80);
  }
}

TEST_P(WholeAttention, ValuesOfZeroGiveZeroAndTinyOnesCountAsZero) {
  for (const float value : {0.0f, 0x1p-97f, 0x1p-120f}) {
    SeededRandom random(4);
    const AttentionShape s = shape(96);
    SequenceData data(random, s, kTokens);
    std::ranges::fill(data.v, value);
    for (const float o : run(s, data, kTokens - 3)) {
      ASSERT_EQ(o, 0.0f);
      ASSERT_FALSE(std::signbit(o));
    }
  }
}

// exact_attention() of the values before any rounding, for every head of the row at `position`.
std::vector<double> exact_row(const AttentionShape& s, const SequenceData& data, int64_t position) {
  const auto dim = static_cast<size_t>(s.head_dim);
  const size_t n_seen = static_cast<size_t>(position + 1) * dim;
  std::vector<double> out;
  for (int head = 0; head < s.group; ++head) {
    const size_t at = static_cast<size_t>(position * s.group + head) * dim;
    const auto of_head =
        exact_attention(std::span(data.q).subspan(at, dim), std::span(data.k).first(n_seen),
                        std::span(data.v).first(n_seen));
    out.insert(out.end(), of_head.begin(), of_head.end());
  }
  return out;
}

// Outliers in one dim of query, key and value, on top of values of which one in a hundred is 20
// times as large as the others. The error of all heads of four rows is relative to their length.
// The 8 bits of a value cost up to 0.035 here; with 16 bits, what keys and queries cost is left.
TEST_P(WholeAttention, OutliersInQueryKeyAndValueAtOnce) {
  double worst = 0;
  for (const float factor : {10.0f, 100.0f}) {
    for (const int head_dim : {80, 96, 128, 192, 256}) {
      SeededRandom random(static_cast<uint64_t>(head_dim));
      const AttentionShape s = shape(head_dim);
      SequenceData data(random, s, kTokens);
      for (std::vector<float>* values : {&data.q, &data.k, &data.v}) {
        for (size_t i = 7; i < values->size(); i += static_cast<size_t>(head_dim)) {
          (*values)[i] *= factor;
        }
      }
      const auto got = run(s, data, kTokens - 4);
      std::vector<double> exact;
      for (int64_t row = kTokens - 4; row < kTokens; ++row) {
        const auto values = exact_row(s, data, row);
        exact.insert(exact.end(), values.begin(), values.end());
      }
      double error = 0, length = 0;
      for (size_t i = 0; i < exact.size(); ++i) {
        error += std::pow(got[i] - exact[i], 2);
        length += std::pow(exact[i], 2);
      }
      worst = std::max(worst, std::sqrt(error / length));
    }
  }
  EXPECT_LT(worst, GetParam() == DType::kK16V8 ? 0.05 : 0.005);
}

TEST_P(WholeAttention, AWindowMayBeginInsideATileAndInsideASpan) {
  for (const int64_t window : {1, 20, 63, 64, 65, 100, 511, 512, 513, 700}) {
    SeededRandom random(6);
    const AttentionShape s = shape(64, window);
    const int64_t n_tokens = window > 150 ? 1100 : kTokens;
    run(s, SequenceData(random, s, n_tokens), n_tokens - 40);
  }
}

}  // namespace
}  // namespace lockstep
