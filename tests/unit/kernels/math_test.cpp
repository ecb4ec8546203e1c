// exp and log against double, over floats of every size, and the vector forms of exp.
#include "kernels/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/cpu/sampling/sample_scan.h"
#include "kernels/ops.h"
#include "tests/support/equal_bits.h"

namespace lockstep {
namespace {

using testing::equal_bits;

constexpr uint32_t kStride = 4001;  // prime; every 4001st float. The bounds were measured over all.

// Distance in units of the last place of the true value.
double ulps(float value, double truth) {
  int exponent = 0;
  std::frexp(truth, &exponent);
  return std::fabs(value - truth) / std::ldexp(1.0, std::max(exponent, -125) - 24);
}

std::vector<float> sweep_of_all_floats() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits <= 0xffffffffu; bits += kStride) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  return x;
}

TEST(Exp, IsWithinTheStatedErrorOfTheTrueValue) {
  for (float x : sweep_of_all_floats()) {
    if (!(x >= -87.0f && x <= 88.0f)) continue;
    ASSERT_LE(ulps(reference::exp(x), std::exp(static_cast<double>(x))), 1.01) << x;
  }
}

TEST(Exp, HasItsCornersWhereTheContractPutsThem) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(reference::exp(0.0f), 1.0f);
  EXPECT_EQ(reference::exp(-0.0f), 1.0f);
  EXPECT_EQ(reference::exp(-kInfinity), 0.0f);
  EXPECT_EQ(reference::exp(kInfinity), kInfinity);
  EXPECT_EQ(reference::exp(std::nextafter(-87.0f, -90.0f)), 0.0f);
  EXPECT_GE(reference::exp(-87.0f), std::numeric_limits<float>::min());
  EXPECT_EQ(reference::exp(std::nextafter(88.0f, 90.0f)), kInfinity);
  EXPECT_LT(reference::exp(88.0f), kInfinity);
  EXPECT_TRUE(std::isnan(reference::exp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_EQ(std::bit_cast<uint32_t>(reference::exp(-1e30f)), 0u);
}

TEST(Exp, VectorTwinsGiveTheBitsOfTheReference) {
  const SampleScan* const scans[] = {&kSampleScanPortable, &kSampleScanAvx2, &kSampleScanAvx512};
  const std::vector<float> x = sweep_of_all_floats();
  std::vector<float> expected;
  for (float v : x) expected.push_back(reference::exp(v));
  for (Isa isa : available_isas().subspan(1)) {
    SCOPED_TRACE(to_string(isa));
    std::vector<float> y(x.size());
    SampleWeights plain;  // x = z; a NaN has weight +0, because it is above no threshold
    plain.least_x = -std::numeric_limits<float>::infinity();
    scans[static_cast<int>(isa) - 1]->weigh(x.data(), static_cast<int64_t>(x.size()), plain,
                                            y.data());
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_TRUE(equal_bits(std::isnan(x[i]) ? 0.0f : expected[i], y[i])) << x[i];
    }
  }
}

TEST(Log, IsWithinTheStatedErrorOfTheTrueValue) {
  for (float x : sweep_of_all_floats()) {
    if (!std::isnormal(x) || x < 0.0f) continue;
    ASSERT_LE(ulps(reference::log(x), std::log(static_cast<double>(x))), 0.83) << x;
  }
  EXPECT_EQ(std::bit_cast<uint32_t>(reference::log(1.0f)), 0u);
}

}  // namespace
}  // namespace lockstep
