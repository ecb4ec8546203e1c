#include <gtest/gtest.h>

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

// gate and up side by side in each row, as the fused matrix writes them.
struct GateUp {
  int64_t n_tokens, dim;
  std::vector<float> both;

  GateUp(SeededRandom& random, int64_t n, int64_t d)
      : n_tokens(n), dim(d), both(random.activations(static_cast<size_t>(n * 2 * d))) {}

  SiluMulArgs args() {
    SiluMulArgs args;
    args.gate = view(both.data(), {n_tokens, dim});
    args.up = view(both.data() + dim, {n_tokens, dim});
    args.gate.row_stride = args.up.row_stride = 2 * dim;
    return args;
  }
  std::vector<float> run(Stream& stream) {
    std::vector<float> y(static_cast<size_t>(n_tokens * dim), -1.0f);
    SiluMulArgs a = args();
    a.out.f32 = view(y.data(), {n_tokens, dim});
    silu_mul(a, stream);
    return y;
  }
};

TEST(SiluMul, EveryBackEndGivesTheBitsOfTheReference) {
  SeededRandom random(1);
  for (const int64_t dim : {1, 7, 16, 31, 32, 33, 90, 512, 1537}) {
    GateUp rows(random, 30, dim);
    const auto expected = rows.run(*reference_stream());
    for_each_stream([&](Stream& s) { ASSERT_TRUE(equal_bits(expected, rows.run(s))) << dim; });
  }
}

TEST(SiluMul, GatesOfEverySizeGiveTheBitsOfTheReference) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  SeededRandom random(2);
  GateUp rows(random, 1, 1000);
  for (int64_t i = 0; i < 1000; ++i) rows.both[i] = random.normal(60.0f);
  const float corners[] = {0.0f,   -0.0f,     87.0f,      -87.0f, 88.0f,  -88.0f, -88.5f,
                           1e-40f, kInfinity, -kInfinity, 3e38f,  -3e38f, NAN};
  std::copy(std::begin(corners), std::end(corners), rows.both.begin());
  const auto expected = rows.run(*reference_stream());
  for_each_stream([&](Stream& s) { ASSERT_TRUE(equal_bits(expected, rows.run(s))); });
}

TEST(SiluMul, QuantisesWhatItWouldHaveWritten) {
  SeededRandom random(3);
  GateUp rows(random, 20, 160);
  const auto y = rows.run(*reference_stream());
  QuantizedBuffer expected(20, 160);
  QuantizeArgs quantise;
  quantise.x = view(y.data(), {20, 160});
  quantise.out = expected.acts;
  quantize(quantise, *reference_stream());
  const auto check = [&](Stream& stream) {
    QuantizedBuffer got(20, 160);
    SiluMulArgs args = rows.args();
    args.out.quantized = got.acts;
    silu_mul(args, stream);
    ASSERT_EQ(expected.q, got.q);
    ASSERT_EQ(expected.q_sum, got.q_sum);
    ASSERT_TRUE(equal_bits(expected.scale, got.scale));
    ASSERT_TRUE(equal_bits(expected.sum, got.sum));
  };
  check(*reference_stream());
  for_each_stream(check);
}

TEST(SiluMul, AgreesWithTheFormulaInDouble) {
  SeededRandom random(4);
  GateUp rows(random, 4, 200);
  const auto y = rows.run(*reference_stream());
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t i = 0; i < 200; ++i) {
      const double gate = rows.both[t * 400 + i];
      const double exact = gate / (1.0 + std::exp(-gate)) * rows.both[t * 400 + 200 + i];
      // The error of exp is at most 2 eps; three more roundings follow.
      ASSERT_NEAR(y[t * 200 + i], exact, 6 * 0x1p-24 * std::fabs(exact));
    }
  }
}

}  // namespace
}  // namespace lockstep
