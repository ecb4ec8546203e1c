#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/equal_bits.h"
#include "tests/support/random.h"
#include "tests/unit/kernels/isa_support.h"

namespace lockstep {
namespace {

using testing::equal_bits;
using testing::for_each_stream;
using testing::QuantizedBuffer;
using testing::reference_stream;
using testing::SeededRandom;

struct Rows {
  int64_t n_tokens, dim;
  std::vector<float> x, weight;

  Rows(SeededRandom& random, int64_t n, int64_t d)
      : n_tokens(n),
        dim(d),
        x(random.activations(static_cast<size_t>(n * d))),
        weight(random.activations(static_cast<size_t>(d))) {}

  RmsNormArgs args() {
    RmsNormArgs args;
    args.x = view(x.data(), {n_tokens, dim});
    args.weight = view(weight.data(), {dim});
    args.eps = 1e-5f;
    return args;
  }
  std::vector<float> run(Stream& stream) {
    std::vector<float> y(x.size(), -1.0f);
    RmsNormArgs a = args();
    a.out.f32 = view(y.data(), {n_tokens, dim});
    rms_norm(a, stream);
    return y;
  }
};

TEST(RmsNorm, EveryBackEndGivesTheBitsOfTheReference) {
  SeededRandom random(1);
  for (const int64_t dim :
       {1, 5, 16, 31, 32, 33, 47, 64, 80, 100, 576, 1000, 1024, 1025, 2048, 3100}) {
    Rows rows(random, 40, dim);
    const auto expected = rows.run(*reference_stream());
    for_each_stream([&](Stream& s) { ASSERT_TRUE(equal_bits(expected, rows.run(s))) << dim; });
  }
}

TEST(RmsNorm, QuantisesWhatItWouldHaveWritten) {
  SeededRandom random(2);
  for (const int64_t dim : {32, 96, 576}) {
    Rows rows(random, 50, dim);
    const auto y = rows.run(*reference_stream());
    QuantizedBuffer expected(50, dim);
    QuantizeArgs quantise;
    quantise.x = view(y.data(), {50, dim});
    quantise.out = expected.acts;
    quantize(quantise, *reference_stream());
    const auto check = [&](Stream& stream, bool with_f32) {
      QuantizedBuffer got(50, dim);
      std::vector<float> f32(y.size());
      RmsNormArgs args = rows.args();
      args.out.quantized = got.acts;
      if (with_f32) args.out.f32 = view(f32.data(), {50, dim});
      rms_norm(args, stream);
      ASSERT_EQ(expected.q, got.q);
      ASSERT_EQ(expected.q_sum, got.q_sum);
      ASSERT_TRUE(equal_bits(expected.scale, got.scale));
      ASSERT_TRUE(equal_bits(expected.sum, got.sum));
      if (with_f32) {
        ASSERT_TRUE(equal_bits(y, f32));
      }
    };
    check(*reference_stream(), false);
    for_each_stream([&](Stream& s) {
      check(s, false);
      check(s, true);
    });
  }
}

TEST(RmsNorm, AgreesWithTheFormulaInDouble) {
  SeededRandom random(3);
  Rows rows(random, 5, 576);
  const auto y = rows.run(*reference_stream());
  for (int64_t t = 0; t < 5; ++t) {
    double squares = 0;
    for (int64_t i = 0; i < 576; ++i) squares += std::pow(rows.x[t * 576 + i], 2);
    const double r = 1.0 / std::sqrt(squares / 576 + 1e-5f);
    for (int64_t i = 0; i < 576; ++i) {
      const double exact = rows.x[t * 576 + i] * r * rows.weight[i];
      // A lane is a chain of 18 values, the tree has 5 levels, and five more roundings follow.
      ASSERT_NEAR(y[t * 576 + i], exact, 28 * 0x1p-24 * std::fabs(exact));
    }
  }
}

TEST(RmsNorm, SumsOfChunksMeetInATree) {
  constexpr int64_t kDim = 5 * 1024 + 40;
  SeededRandom random(5);
  Rows rows(random, 1, kDim);
  const std::vector<float>& x = rows.x;
  const auto tree = [](std::vector<float> v) {
    while (v.size() > 1) {
      std::vector<float> next;
      for (size_t i = 0; i + 1 < v.size(); i += 2) next.push_back(v[i] + v[i + 1]);
      if (v.size() % 2 == 1) next.push_back(v.back());
      v = next;
    }
    return v[0];
  };
  std::vector<float> chunks;
  for (int64_t begin = 0; begin < kDim; begin += 1024) {
    std::vector<float> lanes(32, 0.0f);
    for (int64_t i = begin; i < std::min(begin + 1024, kDim); ++i) {
      lanes[i % 32] = std::fma(x[i], x[i], lanes[i % 32]);
    }
    chunks.push_back(tree(lanes));
  }
  const float squares =
      ((chunks[0] + chunks[1]) + (chunks[2] + chunks[3])) + (chunks[4] + chunks[5]);
  const float r = 1.0f / std::sqrt(squares / static_cast<float>(kDim) + 1e-5f);
  std::vector<float> expected;
  for (size_t i = 0; i < x.size(); ++i) expected.push_back(x[i] * r * rows.weight[i]);
  for_each_stream([&](Stream& s) { EXPECT_TRUE(equal_bits(expected, rows.run(s))) << s.name(); });
}

TEST(RmsNorm, ANanOrInfinityReachesItsRowOnly) {
  SeededRandom random(4);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Rows rows(random, 3, 70);
    const auto clean = rows.run(*reference_stream());
    rows.x[70 + 69] = bad;
    const auto expected = rows.run(*reference_stream());
    EXPECT_TRUE(std::isnan(expected[70 + 69]));
    for_each_stream([&](Stream& s) {
      const auto y = rows.run(s);
      ASSERT_TRUE(equal_bits(expected, y));
      ASSERT_TRUE(equal_bits(std::span(clean).first(70), std::span<const float>(y).first(70)));
    });
  }
}

}  // namespace
}  // namespace lockstep
