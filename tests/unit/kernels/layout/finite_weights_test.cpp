// NaN and infinity among weights, in every layout of a model file.
#include "kernels/layout/finite_weights.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"
#include "tests/support/random.h"

namespace lockstep {
namespace {

constexpr WeightType kAllTypes[] = {WeightType::kF32,  WeightType::kF16,  WeightType::kBF16,
                                    WeightType::kQ8_0, WeightType::kQ4_0, WeightType::kQ4_1,
                                    WeightType::kQ5_0, WeightType::kQ5_1, WeightType::kQ4_K,
                                    WeightType::kQ5_K, WeightType::kQ6_K};

using Bytes = std::vector<std::byte>;

// The offsets of the floats of a tensor.
struct Places {
  size_t first, stride, n_per_stride, bytes;
};
Places places(WeightType type) {
  const auto block = static_cast<size_t>(source_block_bytes(type));
  if (is_quantized(type)) {
    return {static_cast<size_t>(source_scale_offset(type)), block, has_min(type) ? 2u : 1u, 2};
  }
  const auto value = static_cast<size_t>(float_bytes(type));
  return {0, value, 1, value};
}

float number_at(WeightType type, const Bytes& bytes, size_t at) {
  uint32_t bits = 0;
  std::memcpy(&bits, bytes.data() + at, places(type).bytes);
  if (type == WeightType::kF32) return std::bit_cast<float>(bits);
  const auto half = static_cast<uint16_t>(bits);
  return type == WeightType::kBF16 ? bf16_to_f32(half) : f16_to_f32(half);
}

// The first offset whose number is not finite, found by checking one after another.
std::optional<size_t> first_bad(WeightType type, const Bytes& bytes) {
  const Places p = places(type);
  for (size_t stride = p.first; stride < bytes.size(); stride += p.stride) {
    for (size_t i = 0; i < p.n_per_stride; ++i) {
      if (!std::isfinite(number_at(type, bytes, stride + i * p.bytes))) {
        return stride + i * p.bytes;
      }
    }
  }
  return std::nullopt;
}

TEST(FiniteWeights, RandomBytesAgreeWithASearchOneByOne) {
  testing::SeededRandom random(20261130);
  int n_finite = 0;
  int n_bad = 0;
  for (const WeightType type : kAllTypes) {
    const auto block = static_cast<size_t>(source_block_bytes(type));
    for (int round = 0; round < 300; ++round) {
      Bytes bytes(block * static_cast<size_t>(random.integer(1, 5)));
      for (std::byte& b : bytes) b = static_cast<std::byte>(random.integer(0, 255));
      const auto expected = first_bad(type, bytes);
      const auto found = find_non_finite(type, bytes);
      ASSERT_EQ(found.has_value(), expected.has_value()) << to_string(type) << " round " << round;
      ++(expected ? n_bad : n_finite);
      if (!expected) continue;
      EXPECT_EQ(found->offset, static_cast<int64_t>(*expected)) << to_string(type);
      EXPECT_FALSE(std::isfinite(found->value));
    }
  }
  EXPECT_GT(n_finite, 100);
  EXPECT_GT(n_bad, 100);
}

TEST(FiniteWeights, EveryPatternOfSixteenBitsIsJudgedByItsExponent) {
  for (const WeightType type : {WeightType::kF16, WeightType::kBF16, WeightType::kQ8_0}) {
    for (uint32_t pattern = 0; pattern <= 0xffff; ++pattern) {
      Bytes bytes(static_cast<size_t>(source_block_bytes(type)));
      const auto bits = static_cast<uint16_t>(pattern);
      std::memcpy(bytes.data(), &bits, sizeof bits);
      const bool finite = std::isfinite(number_at(type, bytes, 0));
      ASSERT_EQ(find_non_finite(type, bytes).has_value(), !finite) << to_string(type) << pattern;
    }
  }
}

TEST(FiniteWeights, QuantsMayBeAnything) {
  for (const WeightType type : kAllTypes) {
    if (!is_quantized(type)) continue;
    Bytes block(static_cast<size_t>(source_block_bytes(type)), std::byte{0xff});
    std::memset(block.data() + places(type).first, 0, 2 * places(type).n_per_stride);
    EXPECT_FALSE(find_non_finite(type, block)) << to_string(type);
  }
}

TEST(FiniteWeights, AMinimumIsCalledAMinimum) {
  BlockQ4_1 blocks[2] = {};
  blocks[1].min = 0x7c00;
  const auto found = find_non_finite(WeightType::kQ4_1, std::as_bytes(std::span(blocks)));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->offset, 22);
  EXPECT_STREQ(found->what, "minimum");
  EXPECT_TRUE(std::isinf(found->value));
}

}  // namespace
}  // namespace lockstep
