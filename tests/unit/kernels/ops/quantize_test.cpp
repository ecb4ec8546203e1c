#include <algorithm>
#include <cfloat>
#include <limits>

#include "tests/support/equal_bits.h"
#include "tests/unit/kernels/isa_support.h"
#include "tests/unit/kernels/linear_support.h"

namespace lockstep::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Quantized {
  std::vector<uint8_t> q;
  std::vector<float> scale, sum;
  std::vector<int32_t> q_sum;
};

Quantized quantize_with(Stream& stream, const std::vector<float>& x, int64_t k) {
  const int64_t n = std::ssize(x) / k;
  const size_t n_blocks = x.size() / 32;
  Quantized out{std::vector<uint8_t>(x.size(), 99), std::vector<float>(n_blocks, 99),
                std::vector<float>(n_blocks, 99), std::vector<int32_t>(n_blocks, 99)};
  quantize({.x = view(x.data(), {n, k}),
            .out = {view(out.q.data(), {n, k}), view(out.scale.data(), {n, k / 32}),
                    view(out.sum.data(), {n, k / 32}), view(out.q_sum.data(), {n, k / 32})}},
           stream);
  return out;
}

void expect_equal(const Quantized& expected, const Quantized& actual) {
  EXPECT_EQ(expected.q, actual.q);
  EXPECT_EQ(expected.q_sum, actual.q_sum);
  EXPECT_TRUE(equal_bits(expected.scale, actual.scale));
  EXPECT_TRUE(equal_bits(expected.sum, actual.sum));
}

void expect_equal_to_reference(const std::vector<float>& x, int64_t k) {
  auto reference = make_stream(Isa::kReference, 1);
  const Quantized expected = quantize_with(*reference, x, k);
  for_each_stream([&](Stream& stream) { expect_equal(expected, quantize_with(stream, x, k)); });
}

TEST(Quantize, EveryBackEndGivesTheBitsOfTheReference) {
  SeededRandom random(30);
  for (int64_t k : {32, 64, 576, 4096}) {
    for (int64_t n : {0, 1, 3, 50}) expect_equal_to_reference(random.activations(n * k), k);
  }
}

TEST(Quantize, EveryMagnitudeAndTieIsRoundedAlike) {
  SeededRandom random(31);
  std::vector<float> x;
  for (int exponent = -149; exponent <= 127; ++exponent) {
    for (int i = 0; i < 32; ++i) x.push_back(std::ldexp(random.normal(), exponent));
  }
  for (int i = 0; i < 32; ++i) x.push_back(static_cast<float>(i) - 15.5f);  // ties
  x.back() = 127.0f;
  for (int i = 0; i < 32; ++i) x.push_back(i % 2 == 0 ? FLT_MAX : -FLT_MAX);
  expect_equal_to_reference(x, 32);
}

TEST(Quantize, BlocksThatAreNotFiniteAreMarkedAndOthersAreNot) {
  SeededRandom random(32);
  for (float bad : {kInf, -kInf, kNaN}) {
    for (int at = 0; at < 32; ++at) {
      std::vector<float> x = random.activations(96);
      x[32 + at] = bad;
      expect_equal_to_reference(x, 96);
      auto reference = make_stream(Isa::kReference, 1);
      const Quantized out = quantize_with(*reference, x, 96);
      EXPECT_TRUE(std::isnan(out.scale[1]) && std::isnan(out.sum[1]));
      EXPECT_EQ(out.q_sum[1], 0);
      EXPECT_EQ(std::count(out.q.begin() + 32, out.q.begin() + 64, 0), 32);
      EXPECT_TRUE(std::isfinite(out.scale[0]) && std::isfinite(out.scale[2]));
    }
  }
}

TEST(Quantize, TinyBlocksAreZeroAndTheLimitIsNot) {
  auto reference = make_stream(Isa::kReference, 1);
  for (float largest :
       {0.0f, -0.0f, std::numeric_limits<float>::denorm_min(), std::nextafter(0x1p-96f, 0.0f)}) {
    std::vector<float> x(32, -largest);
    expect_equal_to_reference(x, 32);
    const Quantized out = quantize_with(*reference, x, 32);
    EXPECT_EQ(std::bit_cast<uint32_t>(out.scale[0]), 0u);
    EXPECT_EQ(std::bit_cast<uint32_t>(out.sum[0]), 0u);
    EXPECT_EQ(std::count(out.q.begin(), out.q.end(), 0), 32);
  }
  std::vector<float> x(32, 0x1p-96f);
  expect_equal_to_reference(x, 32);
  EXPECT_EQ(quantize_with(*reference, x, 32).q[0], 127);
}

TEST(Quantize, ValuesComeBackWithinHalfAStep) {
  SeededRandom random(33);
  const std::vector<float> x = random.activations(64 * 32);
  auto reference = make_stream(Isa::kReference, 1);
  const Quantized out = quantize_with(*reference, x, 32);
  for (size_t i = 0; i < x.size(); ++i) {
    const double step = out.scale[i / 32];
    EXPECT_NEAR(x[i], step * static_cast<int8_t>(out.q[i]), step * (0.5 + 127 * 0x1p-22));
    EXPECT_LE(std::abs(static_cast<int8_t>(out.q[i])), 127);
  }
  for (size_t b = 0; b < out.scale.size(); ++b) {
    int32_t q_sum = 0;
    for (int i = 0; i < 32; ++i) q_sum += static_cast<int8_t>(out.q[32 * b + i]);
    EXPECT_EQ(out.q_sum[b], q_sum);
    EXPECT_EQ(out.sum[b], out.scale[b] * static_cast<float>(q_sum));
  }
}

}  // namespace
}  // namespace lockstep::testing
