// rope_store: rotation, rounding and the bytes in the pages.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/layout/fp16.h"
#include "tests/support/equal_bits.h"
#include "tests/unit/kernels/attention_support.h"
#include "tests/unit/kernels/isa_support.h"

namespace lockstep {
namespace {

using testing::AttentionShape;
using testing::equal_bits;
using testing::for_each_stream;
using testing::make_stream;
using testing::PagedCache;
using testing::reference_stream;
using testing::SeededRandom;

constexpr int64_t kTokens = 37;
constexpr int64_t kMaxPositions = 64;

struct RopeCase {
  AttentionShape shape;
  RopeStyle style;
  int64_t n_rot;
};

// A step of 37 tokens of one sequence, from position 5 on; rows are strided.
struct Step {
  Step(SeededRandom& random, const RopeCase& c)
      : rope(c),
        qkv_dim((c.shape.n_heads() + 2 * c.shape.n_kv_heads) * c.shape.head_dim + 3),
        qkv(random.activations(static_cast<size_t>(kTokens * qkv_dim))),
        cache(random, c.shape, 1, kMaxPositions),
        cos_sin(static_cast<size_t>(kMaxPositions * c.n_rot)) {
    for (int64_t p = 0; p < kMaxPositions; ++p) {
      for (int64_t i = 0; i < c.n_rot / 2; ++i) {
        const double angle = p * std::pow(10000.0, -2.0 * i / c.n_rot);
        cos_sin[p * c.n_rot + 2 * i] = static_cast<float>(std::cos(angle));
        cos_sin[p * c.n_rot + 2 * i + 1] = static_cast<float>(std::sin(angle));
      }
    }
    for (int64_t t = 0; t < kTokens; ++t) {
      positions.push_back(static_cast<int32_t>(t + 5));
      slots.push_back(static_cast<int32_t>(cache.slot(0, t + 5)));
    }
  }

  RopeStoreArgs args() {
    const AttentionShape& s = rope.shape;
    RopeStoreArgs args;
    float* k = qkv.data() + s.n_heads() * s.head_dim;
    args.q = view(qkv.data(), {kTokens, s.n_heads(), s.head_dim});
    args.k = view(k, {kTokens, s.n_kv_heads, s.head_dim});
    args.v = view(k + s.n_kv_heads * s.head_dim, {kTokens, s.n_kv_heads, s.head_dim});
    args.q.row_stride = args.k.row_stride = args.v.row_stride = qkv_dim;
    args.positions = view(positions.data(), {kTokens});
    args.slot_mapping = view(slots.data(), {kTokens});
    args.cos_sin = view(cos_sin.data(), {kMaxPositions, rope.n_rot / 2, 2});
    args.style = rope.style;
    args.kv = cache.pages();
    return args;
  }

  RopeCase rope;
  int64_t qkv_dim;
  std::vector<float> qkv;
  PagedCache cache;
  std::vector<float> cos_sin;
  std::vector<int32_t> positions, slots;
};

std::vector<RopeCase> all_cases() {
  std::vector<RopeCase> cases;
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kK16V8, DType::kK16V16}) {
    for (const RopeStyle style : {RopeStyle::kNeighbours, RopeStyle::kHalves}) {
      cases.push_back({{dtype, 16, 3, 3, 64, 0}, style, 64});
      cases.push_back({{dtype, 1, 1, 2, 96, 0}, style, 40});
      cases.push_back({{dtype, 32, 2, 1, 32, 0}, style, 6});
      if (dtype == DType::kQ8_0) continue;
      cases.push_back({{dtype, 5, 1, 1, 18, 0}, style, 18});
      cases.push_back({{dtype, 8, 1, 1, 80, 0}, style, 80});
    }
  }
  return cases;
}

// Compares the bits of q afterwards and the bytes of the pages. No stored value is NaN.
void expect_equal(const Step& expected, const Step& got) {
  ASSERT_TRUE(equal_bits(expected.qkv, got.qkv));
  ASSERT_TRUE(expected.cache.bytes() == got.cache.bytes());
}

TEST(RopeStore, EveryBackEndGivesTheBitsAndBytesOfTheReference) {
  uint64_t seed = 1;
  for (const RopeCase& c : all_cases()) {
    SCOPED_TRACE(c.shape.text() + ", n_rot " + std::to_string(c.n_rot));
    const uint64_t this_seed = seed++;
    SeededRandom random(this_seed);
    Step expected(random, c);
    rope_store(expected.args(), *reference_stream());
    for_each_stream([&](Stream& stream) {
      SeededRandom again(this_seed);
      Step got(again, c);
      rope_store(got.args(), stream);
      expect_equal(expected, got);
    });
  }
}

TEST(RopeStore, RotatesPairsOfItsStyleAndPassesTheRestThrough) {
  for (const RopeStyle style : {RopeStyle::kNeighbours, RopeStyle::kHalves}) {
    SeededRandom random(5);
    Step step(random, {{DType::kF32, 16, 1, 1, 32, 0}, style, 8});
    const std::vector<float> before = step.qkv;
    rope_store(step.args(), *reference_stream());
    for (int64_t t = 0; t < kTokens; ++t) {
      const float* x = before.data() + t * step.qkv_dim;
      const float* y = step.qkv.data() + t * step.qkv_dim;
      for (int64_t i = 0; i < 4; ++i) {
        const int64_t a = style == RopeStyle::kNeighbours ? 2 * i : i;
        const int64_t b = style == RopeStyle::kNeighbours ? 2 * i + 1 : i + 4;
        const double angle = (t + 5) * std::pow(10000.0, -2.0 * i / 8);
        const double norm = std::hypot(x[a], x[b]);
        // cos and sin are rounded once; then come two products and a sum.
        ASSERT_NEAR(y[a], x[a] * std::cos(angle) - x[b] * std::sin(angle), 4 * 0x1p-24 * norm);
        ASSERT_NEAR(y[b], x[b] * std::cos(angle) + x[a] * std::sin(angle), 4 * 0x1p-24 * norm);
      }
      for (int64_t d = 8; d < 32; ++d) ASSERT_EQ(x[d], y[d]);
      // K is rotated in the same way when it is written to the pages; V is not. k and v themselves
      // are not changed.
      float k[32], v[32];
      reference::load_slot(step.cache.pages(), step.slots[t], 0, k, v);
      for (int64_t d = 8; d < 32; ++d) ASSERT_EQ(x[32 + d], k[d]);
      for (int64_t d = 0; d < 32; ++d) ASSERT_EQ(x[64 + d], v[d]);
      for (int64_t d = 0; d < 64; ++d) ASSERT_EQ(x[32 + d], y[32 + d]);
    }
  }
}

TEST(RopeStore, TouchesNoSlotButItsOwn) {
  SeededRandom random(6);
  Step step(random, {{DType::kF16, 16, 2, 2, 32, 0}, RopeStyle::kHalves, 32});
  rope_store(step.args(), *make_stream(best_isa(), 2));
  float k[32], v[32];
  for (int64_t position = 0; position < kMaxPositions; ++position) {
    reference::load_slot(step.cache.pages(), step.cache.slot(0, position), 1, k, v);
    const bool written = position >= 5 && position < 5 + kTokens;
    for (int d = 0; d < 32; ++d) {
      ASSERT_EQ(std::isnan(k[d]), !written);
      ASSERT_EQ(std::isnan(v[d]), !written);
    }
  }
}

// A value in q8_0 is within half a step of the original; the step is amax / 127 rounded to f16.
TEST(KvQ8, RoundsWithinHalfAStep) {
  SeededRandom random(7);
  for (const float size : {1.0f, 1e-3f, 1e4f, 2e-5f}) {
    float x[64];
    for (float& v : x) v = random.normal(size);
    int8_t q[64];
    uint16_t scales[2];
    quantize_kv_row(x, 64, q, scales);
    for (int i = 0; i < 64; ++i) {
      const float scale = f16_to_f32(scales[i / 32]);
      // The largest values may be clamped to 127 steps if the scale was rounded down.
      const float clipped = std::clamp(x[i], -127 * scale, 127 * scale);
      ASSERT_NEAR(scale * q[i], clipped, 0.5001f * scale);
    }
  }
}

TEST(KvQ8, ZerosTinyHugeAndBrokenValuesHaveADefinedForm) {
  const auto quantised = [](float value) {
    float x[32] = {};
    x[3] = value;
    int8_t q[32];
    uint16_t scale = 0;
    quantize_kv_row(x, 32, q, &scale);
    return std::pair(f16_to_f32(scale), q[3]);
  };
  EXPECT_EQ(quantised(0.0f), std::pair(0.0f, int8_t{0}));
  EXPECT_EQ(quantised(1e-9f), std::pair(0.0f, int8_t{0}));
  EXPECT_EQ(quantised(1e-5f),
            std::pair(0x1p-24f, int8_t{127}));  // clamped: 168 steps of an f16 scale
  EXPECT_TRUE(std::isinf(quantised(1e9f).first));
  EXPECT_EQ(quantised(1e9f).second, 0);
  EXPECT_TRUE(std::isnan(quantised(NAN).first));
  EXPECT_TRUE(std::isnan(quantised(-INFINITY).first));
}

TEST(KvLayout, BlockBytesCoverBothPlanesAndAreAligned) {
  EXPECT_EQ(k_head_bytes(DType::kF16, 16, 64), 16 * 64 * 2);
  EXPECT_EQ(k_head_bytes(DType::kQ8_0, 16, 64), 16 * (64 + 2 * 2));
  EXPECT_EQ(kv_block_bytes(DType::kF16, 16, 3, 64), 2 * 3 * 16 * 64 * 2);
  EXPECT_EQ(kv_block_bytes(DType::kK16V8, 16, 3, 64), 3 * 16 * 204);  // SmolLM2: 204, f16 has 256
  EXPECT_EQ(kv_block_bytes(DType::kK16V16, 16, 3, 64), 3 * 16 * 268);
  EXPECT_EQ(kv_block_bytes(DType::kQ8_0, 1, 1, 32), 128);  // 2 * 34, rounded up
}

class RopeStoreDeathTest : public ::testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(Isas, RopeStoreDeathTest, ::testing::ValuesIn(available_isas()),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(RopeStoreDeathTest, ASlotOrPositionOutsideIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  SeededRandom random(8);
  Step step(random, {{DType::kF16, 16, 1, 1, 32, 0}, RopeStyle::kHalves, 32});
  const auto store = [&] { rope_store(step.args(), *make_stream(GetParam(), 1)); };
  step.slots[9] = static_cast<int32_t>(step.cache.pages().n_blocks * 16);
  EXPECT_DEATH(store(), "index_checks.cpp");
  step.slots[9] = -1;
  EXPECT_DEATH(store(), "index_checks.cpp");
  step.slots[9] = 0;
  step.positions[9] = kMaxPositions;
  EXPECT_DEATH(store(), "index_checks.cpp");
}

}  // namespace
}  // namespace lockstep
