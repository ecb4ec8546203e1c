#include <algorithm>
#include <limits>

#include "tests/support/equal_bits.h"
#include "tests/unit/kernels/isa_support.h"
#include "tests/unit/kernels/linear_support.h"

namespace lockstep::testing {
namespace {

std::string describe(WeightType type, int64_t n_rows, int64_t k, int64_t n_tokens) {
  return std::string(to_string(type)) + " rows " + std::to_string(n_rows) + " k " +
         std::to_string(k) + " tokens " + std::to_string(n_tokens);
}

void expect_equal_to_reference(const PackedMatrix& packed, TestActs& acts,
                               const float* bias = nullptr) {
  const PackedWeights& w = packed.weights;
  SCOPED_TRACE(describe(w.type, w.n_rows, w.k, acts.n_tokens));
  auto reference = make_stream(Isa::kReference, 1);
  const std::vector<float> expected = run_linear(packed, acts, *reference, bias);
  for_each_stream([&](Stream& stream) {
    EXPECT_TRUE(equal_bits(expected, run_linear(packed, acts, stream, bias)));
  });
}

TEST(Linear, EveryBackEndGivesTheBitsOfTheReferenceForEveryNumberOfTokens) {
  SeededRandom random(1);
  for (WeightType type : kAllTypes) {
    const FileMatrix matrix = random_matrix(random, type, 40, 96);
    const PackedMatrix packed = pack(matrix, {1, 0, 1});
    for (int64_t n_tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 17, 23, 33}) {
      TestActs acts(random.activations(n_tokens * 96), n_tokens, 96);
      expect_equal_to_reference(packed, acts);
    }
  }
}

TEST(Linear, EveryBackEndGivesTheBitsOfTheReferenceForOddSizes) {
  SeededRandom random(2);
  struct Size {
    int64_t n_rows, k;
  };
  for (WeightType type : kAllTypes) {
    for (Size size : {Size{1, 32}, {15, 64}, {16, 160}, {17, 576}, {33, 1056}, {7, 4096}}) {
      const FileMatrix matrix = random_matrix(random, type, size.n_rows, size.k);
      TestActs acts(random.activations(5 * size.k), 5, size.k);
      expect_equal_to_reference(pack(matrix, {1, 0, 1}), acts);
    }
  }
}

TEST(Linear, FloatWeightsMayEndInAShortBlock) {
  SeededRandom random(3);
  for (WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
    // 2050 values are 65 blocks: 16 lanes; the short block ends lane 0, so other lanes follow it.
    for (int64_t k : {1, 5, 31, 33, 80, 2050, 2400}) {
      for (int64_t n_tokens : {1, 9}) {
        const FileMatrix matrix = random_matrix(random, type, 19, k);
        TestActs acts(random.activations(n_tokens * k), n_tokens, k);
        expect_equal_to_reference(pack(matrix, {1, 0, 1}), acts);
      }
    }
  }
}

TEST(Linear, EveryRangeOfLeavesGivesTheBitsOfTheReference) {
  SeededRandom random(4);
  for (WeightType type : {WeightType::kQ4_1, WeightType::kQ8_0, WeightType::kF16, WeightType::kQ4_K,
                          WeightType::kQ5_K, WeightType::kQ6_K}) {
    for (int n_total = 1; n_total <= kMaxLeaves; ++n_total) {
      const int64_t k = n_total * (is_k_quant(type) ? 96 : 64);  // super-blocks cut anywhere
      const FileMatrix matrix = random_matrix(random, type, 18, k);
      TestActs acts(random.activations(3 * k), 3, k);
      for (int first = 0; first < n_total; ++first) {
        for (int n = 1; first + n <= n_total; ++n) {
          expect_equal_to_reference(pack(matrix, {n_total, first, n}), acts);
        }
      }
    }
  }
}

TEST(Linear, LongLeavesAreSummedInLanes) {
  SeededRandom random(5);
  for (WeightType type : {WeightType::kQ5_0, WeightType::kQ4_1, WeightType::kBF16,
                          WeightType::kQ4_K, WeightType::kQ5_K, WeightType::kQ6_K}) {
    for (int n_leaves : {1, 2, 3}) {
      for (int64_t n_blocks : {63, 64, 65, 79, 81}) {
        const int64_t k = n_leaves * n_blocks * kBlockLen;
        const FileMatrix matrix = random_matrix(random, type, 5, k);
        TestActs acts(random.activations(2 * k), 2, k);
        expect_equal_to_reference(pack(matrix, {n_leaves, 0, n_leaves}), acts);
      }
    }
  }
}

// All of K on one rank, or cut at any leaf over two or three ranks: the joined sums are equal bits.
TEST(Linear, PartialsOfEverySplitJoinToTheBitsOfOneRank) {
  SeededRandom random(6);
  constexpr int64_t kRows = 21, kTokens = 3;
  auto stream = make_stream(best_isa(), 2);
  for (WeightType type :
       {WeightType::kQ4_1, WeightType::kF32, WeightType::kQ4_K, WeightType::kQ6_K}) {
    for (int n_leaves = 1; n_leaves <= kMaxLeaves; ++n_leaves) {
      const int64_t k = n_leaves * 96;
      const FileMatrix matrix = random_matrix(random, type, kRows, k);
      TestActs acts(random.activations(kTokens * k), kTokens, k);
      const std::vector<float> before = random.activations(kTokens * kRows);
      std::vector<float> expected =
          run_linear(pack(matrix, {n_leaves, 0, n_leaves}), acts, *stream);
      for (size_t i = 0; i < before.size(); ++i) expected[i] = before[i] + expected[i];

      for (int cut = 0; cut <= n_leaves; ++cut) {
        for (int cut2 = cut; cut2 <= n_leaves; ++cut2) {
          std::vector<float> partials;
          std::vector<Subtree> layout;
          const auto add_rank = [&](int first, int end) {
            if (first == end) return;
            const LeafRange range{n_leaves, first, end - first};
            const auto sums = run_linear(pack(matrix, range), acts, *stream);
            partials.insert(partials.end(), sums.begin(), sums.end());
            for (const Subtree& s : owned_subtrees(range)) layout.push_back(s);
            layout.push_back({0, 0});  // padding: its values must not matter
            partials.resize(partials.size() + kTokens * kRows,
                            std::numeric_limits<float>::quiet_NaN());
          };
          add_rank(0, cut);
          add_rank(cut, cut2);
          add_rank(cut2, n_leaves);
          std::vector<float> residual = before;
          add_and_norm({.partials = view(partials.data(),
                                         {static_cast<int64_t>(layout.size()), kTokens, kRows}),
                        .layout = layout,
                        .n_leaves = n_leaves,
                        .residual = view(residual.data(), {kTokens, kRows})},
                       *stream);
          EXPECT_TRUE(equal_bits(expected, residual))
              << to_string(type) << " leaves " << n_leaves << " cuts " << cut << ", " << cut2;
        }
      }
    }
  }
}

TEST(Linear, BiasIsAddedOnceAfterTheTree) {
  SeededRandom random(7);
  for (WeightType type : kAllTypes) {
    const FileMatrix matrix = random_matrix(random, type, 37, 128);
    const PackedMatrix packed = pack(matrix, {2, 0, 2});
    TestActs acts(random.activations(3 * 128), 3, 128);
    const std::vector<float> bias = random.activations(37);
    expect_equal_to_reference(packed, acts, bias.data());

    auto reference = make_stream(Isa::kReference, 1);
    std::vector<float> expected = run_linear(packed, acts, *reference);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = expected[i] + bias[i % 37];
    EXPECT_TRUE(equal_bits(expected, run_linear(packed, acts, *reference, bias.data())));
  }
}

TEST(Linear, ExtremeWeightsAndActivationsDoNotSaturate) {
  SeededRandom random(8);
  for (WeightType type : kAllTypes) {
    if (!is_quantized(type)) continue;
    // w = 0; 15 or 31 and -1; -128 and 8; 127. Scales of K-quants: 0; 63 and -1; 0 and -128; 63 and
    // 127.
    for (int fill : {0x00, 0xff, 0x80, 0x7f}) {
      FileMatrix matrix = random_matrix(random, type, 16, 64);
      const int64_t block_bytes = source_block_bytes(type);
      for (int64_t i = 0; i < std::ssize(matrix.bytes); ++i) {
        const int64_t after = i % block_bytes - source_scale_offset(type);
        if (after < 0 || after >= (has_min(type) ? 4 : 2)) matrix.bytes[i] = std::byte(fill);
      }
      for (float sign : {1.0f, -1.0f}) {
        TestActs acts(std::vector<float>(5 * 64, sign), 5, 64);  // every q is +-127
        expect_equal_to_reference(pack(matrix, {1, 0, 1}), acts);
      }
    }
  }
}

TEST(Linear, ZerosSubnormalsInfinityAndNanReachTheOutputAsInTheReference) {
  SeededRandom random(9);
  constexpr int64_t kK = 96;
  const float specials[] = {0.0f,
                            -0.0f,
                            std::numeric_limits<float>::denorm_min(),
                            1e-30f,
                            1e30f,
                            std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()};
  for (WeightType type : kAllTypes) {
    std::vector<float> x;
    for (float special : specials) {
      std::vector<float> row = random.activations(kK);
      std::fill_n(row.begin() + 32, 32, special);
      x.insert(x.end(), row.begin(), row.end());
    }
    TestActs acts(x, std::size(specials), kK);
    const FileMatrix matrix = random_matrix(random, type, 20, kK);
    expect_equal_to_reference(pack(matrix, {1, 0, 1}), acts);

    auto stream = make_stream(best_isa(), 1);
    const std::vector<float> out = run_linear(pack(matrix, {1, 0, 1}), acts, *stream);
    EXPECT_TRUE(std::isfinite(out[0]));
    EXPECT_FALSE(std::isfinite(out[5 * 20])) << "a row with Inf must not look healthy";
    EXPECT_TRUE(std::isnan(out[6 * 20]));
  }
}

// |fp32 sum - exact sum| <= (roundings a term passes) * eps * (sum of magnitudes).
TEST(Linear, TheReferenceIsADotProduct) {
  SeededRandom random(10);
  constexpr int64_t kRows = 24, kTokens = 2;
  auto reference = make_stream(Isa::kReference, 1);
  for (WeightType type : kAllTypes) {
    for (int64_t k : {64, 576, 2304}) {
      const FileMatrix matrix = random_matrix(random, type, kRows, k);
      TestActs acts(random.activations(kTokens * k), kTokens, k);
      const auto out = run_linear(pack(matrix, {1, 0, 1}), acts, *reference);
      for (int64_t t = 0; t < kTokens; ++t) {
        for (int64_t r = 0; r < kRows; ++r) {
          double exact = 0, magnitude = 0;
          for (int64_t i = 0; i < k; ++i) {
            const int64_t at = t * k + i;
            const double x = is_quantized(type)
                                 ? double{acts.scale[at / 32]} * static_cast<int8_t>(acts.q[at])
                                 : double{acts.x[at]};
            exact += file_value(matrix, r, i) * x;
            // A weight with a minimum may cancel: its two parts are rounded separately.
            const double min = is_k_quant(type) ? k_quant_value(matrix, r, i).min : has_min(type);
            magnitude += (std::fabs(file_value(matrix, r, i)) + 2 * std::fabs(min)) * std::fabs(x);
          }
          const double n_roundings = is_quantized(type) ? 2.0 * k / 32 + 8 : k + 8.0;
          const double tolerance = n_roundings * 0x1p-24 * magnitude;
          EXPECT_NEAR(exact, out[t * kRows + r], tolerance)
              << describe(type, kRows, k, kTokens) << " row " << r << " token " << t;
        }
      }
    }
  }
}

TEST(Linear, WritesOnlyItsOwnColumnsOfAWiderMatrix) {
  SeededRandom random(11);
  for (Isa isa : available_isas()) {
    auto stream = make_stream(isa, 2);
    for (WeightType type : {WeightType::kQ4_1, WeightType::kF32}) {
      const FileMatrix matrix = random_matrix(random, type, 19, 64);
      const PackedMatrix packed = pack(matrix, {1, 0, 1});
      TestActs acts(random.activations(4 * 64), 4, 64);
      const std::vector<float> dense = run_linear(packed, acts, *stream);
      std::vector<float> wide(4 * 30, -7.0f);
      LinearArgs args{.x = acts.of(type, 0, 64),
                      .weights = packed.weights,
                      .out = view(wide.data() + 5, {1, 4, 19}),
                      .out_token_stride = 30};
      linear(args, *stream);
      for (int t = 0; t < 4; ++t) {
        for (int c = 0; c < 30; ++c) {
          const bool mine = c >= 5 && c < 24;
          ASSERT_EQ(wide[t * 30 + c], mine ? dense[t * 19 + c - 5] : -7.0f) << to_string(isa);
        }
      }
    }
  }
}

TEST(Linear, NoTokensAndNoRowsAreNoWork) {
  SeededRandom random(12);
  for_each_stream([&](Stream& stream) {
    const PackedMatrix packed = pack(random_matrix(random, WeightType::kQ4_1, 16, 64), {1, 0, 1});
    TestActs none({}, 0, 64);
    EXPECT_TRUE(run_linear(packed, none, stream).empty());
    const PackedMatrix no_rows = pack(random_matrix(random, WeightType::kF32, 0, 64), {1, 0, 1});
    TestActs acts(random.activations(64), 1, 64);
    EXPECT_TRUE(run_linear(no_rows, acts, stream).empty());
  });
}

TEST(LinearDeathTest, TheDoorRefusesWrongShapes) {
  SeededRandom random(13);
  const PackedMatrix packed = pack(random_matrix(random, WeightType::kQ4_1, 16, 64), {2, 0, 2});
  TestActs acts(random.activations(2 * 64), 2, 64);
  auto stream = make_stream(Isa::kPortable, 1);
  std::vector<float> out(64);
  const LinearArgs good{.x = acts.of(WeightType::kQ4_1, 0, 64),
                        .weights = packed.weights,
                        .out = view(out.data(), {1, 2, 16})};
  LinearArgs args = good;
  args.out = view(out.data(), {1, 2, 15});
  EXPECT_DEATH(linear(args, *stream), "CHECK|ops.cpp");
  args = good;
  args.x = acts.of(WeightType::kF32, 0, 64);
  EXPECT_DEATH(linear(args, *stream), "ops.cpp");
  args = good;
  args.out_token_stride = 8;
  EXPECT_DEATH(linear(args, *stream), "ops.cpp");
  args = good;
  args.weights.leaves = {3, 0, 2};
  args.bias = view(out.data(), {16});
  EXPECT_DEATH(linear(args, *stream), "ops.cpp");
}

}  // namespace
}  // namespace lockstep::testing
