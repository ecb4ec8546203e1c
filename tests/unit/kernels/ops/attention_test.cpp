// Attention over a paged KV cache: every back end, thread count, chunking and block size gives the
// bits of the reference. attention_oracle_test.cpp checks what the reference computes.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/equal_bits.h"
#include "tests/support/test_stream.h"
#include "tests/unit/kernels/one_sequence.h"

namespace lockstep {
namespace {

using testing::attend;
using testing::attend_with;
using testing::AttentionShape;
using testing::equal_bits;
using testing::make_stream;
using testing::OneSequence;
using testing::PagedCache;
using testing::SeededRandom;
using testing::SequenceData;
using testing::StepRows;

AttentionShape random_shape(SeededRandom& random) {
  constexpr DType kDtypes[] = {DType::kF32,  DType::kF16,   DType::kBF16,
                               DType::kQ8_0, DType::kK16V8, DType::kK16V16};
  constexpr int kBlockSizes[] = {1, 3, 8, 16, 24, 32, 64, 128};
  constexpr int kGroups[] = {1, 2, 3, 4, 5, 8};
  constexpr int kHeadDims[] = {8, 16, 20, 32, 64, 80, 96, 128, 256};
  AttentionShape shape;
  shape.dtype = kDtypes[random.integer(0, 5)];
  shape.block_size = kBlockSizes[random.integer(0, 7)];
  shape.group = kGroups[random.integer(0, 5)];
  shape.n_kv_heads = static_cast<int>(random.integer(1, 3));
  do {
    shape.head_dim = kHeadDims[random.integer(0, 8)];
  } while (shape.dtype == DType::kQ8_0 && shape.head_dim % 32 != 0);
  if (random.chance(0.4)) shape.window = random.integer(1, random.chance(0.7) ? 150 : 900);
  return shape;
}

TEST(Attention, EveryIsaAndThreadCountGivesTheBitsOfTheReference) {
  for (uint64_t seed = 1; seed <= 36; ++seed) {
    SeededRandom random(seed);
    const AttentionShape shape = random_shape(random);
    SCOPED_TRACE(shape.text());
    PagedCache cache(random, shape, 3, 1300);
    const bool long_context = seed % 6 == 0;
    StepRows rows;
    for (int seq = 0; seq < 3; ++seq) {
      const int64_t n = random.integer(1, seq > 0 ? 90 : long_context ? 1300 : 280);
      const SequenceData data(random, shape, n);
      data.put_into(cache, shape, seq);
      rows.add(shape, data, seq, n - random.integer(1, std::min<int64_t>(n, 6)), n);
    }
    const auto expected = attend_with(Isa::kReference, 1, shape, cache, rows);
    for (Isa isa : available_isas().subspan(1)) {
      for (int n_threads = 1; n_threads <= 3; ++n_threads) {
        SCOPED_TRACE(std::string(to_string(isa)) + ", threads " + std::to_string(n_threads));
        ASSERT_TRUE(equal_bits(expected, attend_with(isa, n_threads, shape, cache, rows)));
      }
    }
  }
}

TEST(Attention, PrefillGivesTheBitsOfTheReference) {
  for (const int64_t window : {0, 70}) {
    SeededRandom random(7);
    OneSequence one(random, {DType::kF16, 16, 1, 3, 32, window}, 150);
    const auto expected = one.run(Isa::kReference, 0, 150);
    for (Isa isa : available_isas()) {
      SCOPED_TRACE(to_string(isa));
      ASSERT_TRUE(equal_bits(expected, one.run(isa, 0, 150, 2)));
    }
  }
}

TEST(Attention, ARowGivesTheSameBitsAloneAndInAnyChunk) {
  SeededRandom random(11);
  for (const AttentionShape& shape :
       {AttentionShape{DType::kF16, 16, 2, 3, 64, 0}, AttentionShape{DType::kBF16, 8, 1, 4, 80, 90},
        AttentionShape{DType::kQ8_0, 32, 1, 8, 32, 0},
        AttentionShape{DType::kK16V8, 16, 1, 4, 96, 90},
        AttentionShape{DType::kK16V16, 8, 2, 2, 64, 0}}) {
    SCOPED_TRACE(shape.text());
    constexpr int64_t kTokens = 200;
    OneSequence one(random, shape, kTokens);
    const auto whole = one.run(best_isa(), 0, kTokens, 2);
    for (const int64_t chunk : {1, 7, 64, 65}) {
      std::vector<float> pieces;
      for (int64_t begin = 0; begin < kTokens; begin += chunk) {
        const auto piece = one.run(best_isa(), begin, std::min(begin + chunk, kTokens));
        pieces.insert(pieces.end(), piece.begin(), piece.end());
      }
      ASSERT_TRUE(equal_bits(whole, pieces)) << "chunk " << chunk;
    }
  }
}

TEST(Attention, BlockSizeChangesNoBit) {
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kK16V8, DType::kK16V16}) {
    std::vector<float> expected;
    for (const int block_size : {16, 1, 2, 8, 24, 32, 64, 100, 128}) {
      SeededRandom random(13);  // the same values for every block size
      const AttentionShape shape{dtype, block_size, 2, 2, 32, 0};
      SCOPED_TRACE(shape.text());
      const SequenceData data(random, shape, 170);
      PagedCache cache(random, shape, 1, 170);
      data.put_into(cache, shape, 0);
      for (Isa isa : available_isas()) {
        StepRows rows;
        rows.add(shape, data, 0, 160, 170);
        const auto out = attend_with(isa, 1, shape, cache, rows);
        if (expected.empty()) expected = out;
        ASSERT_TRUE(equal_bits(expected, out)) << to_string(isa);
      }
    }
  }
}

TEST(Attention, SlotsAheadOfARowAreNotRead) {
  // The whole sequence is in the pages. Behind row 40 one copy has NaN and the other has values.
  for (const DType dtype : {DType::kF16, DType::kQ8_0, DType::kK16V8, DType::kK16V16}) {
    SeededRandom random(17);
    const AttentionShape shape{dtype, 16, 1, 2, 64, 0};
    OneSequence one(random, shape, 100);
    PagedCache partly(random, shape, 1, 100);
    const int64_t stride = shape.head_dim;
    for (int64_t t = 0; t <= 40; ++t) {
      partly.put(0, t, one.data.k.data() + t * stride, one.data.v.data() + t * stride);
    }
    for (Isa isa : available_isas()) {
      StepRows rows;
      rows.add(shape, one.data, 0, 40, 41);
      const auto out = attend_with(isa, 1, shape, partly, rows);
      EXPECT_TRUE(equal_bits(one.run(isa, 40, 41), out)) << to_string(isa) << shape.text();
      EXPECT_FALSE(std::isnan(out[0])) << shape.text();
    }
  }
}

TEST(Attention, BlocksBelowTheWindowMayBeGone) {
  for (const DType dtype : {DType::kF16, DType::kK16V8, DType::kK16V16}) {
    SeededRandom random(19);
    const AttentionShape shape{dtype, 16, 1, 3, 64, 40};
    OneSequence one(random, shape, 200);
    const auto expected = one.run(Isa::kReference, 195, 200);
    one.cache.drop_blocks_below(0, 195 - 40 + 1);
    for (Isa isa : available_isas()) {
      EXPECT_TRUE(equal_bits(expected, one.run(isa, 195, 200, 2))) << to_string(isa);
    }
  }
}

TEST(Attention, AGroupLargerThanAUnitIsSplit) {
  SeededRandom random(23);
  OneSequence one(random, {DType::kF16, 16, 1, 71, 16, 0}, 70);
  const auto expected = one.run(Isa::kReference, 66, 70);
  for (Isa isa : available_isas()) {
    EXPECT_TRUE(equal_bits(expected, one.run(isa, 66, 70, 3))) << to_string(isa);
  }
}

TEST(Attention, ThreadsShareTheTilesOfALongContext) {
  for (const auto& [dtype, window] :
       {std::pair(DType::kF16, 0), std::pair(DType::kF16, 700), std::pair(DType::kK16V8, 700)}) {
    SeededRandom random(27);
    OneSequence one(random, {dtype, 16, 1, 3, 32, window}, 1100);
    for (const auto& [begin, end] : {std::pair(1099, 1100), std::pair(1020, 1030)}) {
      const auto expected = one.run(Isa::kReference, begin, end);
      for (Isa isa : available_isas().subspan(1)) {
        for (int n_threads = 1; n_threads <= 5; n_threads += 2) {
          EXPECT_TRUE(equal_bits(expected, one.run(isa, begin, end, n_threads)))
              << to_string(isa) << ", threads " << n_threads << ", rows from " << begin;
        }
      }
    }
  }
}

TEST(Attention, ANanInOneRowStaysInThatRow) {
  SeededRandom random(29);
  OneSequence one(random, {DType::kF16, 16, 1, 1, 64, 0}, 80);
  const auto clean = one.run(Isa::kReference, 70, 80);
  one.data.q[75 * 64 + 3] = std::numeric_limits<float>::quiet_NaN();
  for (Isa isa : available_isas()) {
    const auto out = one.run(isa, 70, 80);
    for (size_t row = 0; row < 10; ++row) {
      const std::span<const float> got(out.data() + row * 64, 64);
      if (row == 5) {
        for (float v : got) ASSERT_TRUE(std::isnan(v)) << to_string(isa);
      } else {
        ASSERT_TRUE(equal_bits(std::span<const float>(clean.data() + row * 64, 64), got));
      }
    }
  }
}

TEST(Attention, ExtremeScoresGiveTheBitsOfTheReference) {
  // Scores far apart underflow to weight 0; overflow to Inf makes the row NaN. Both must be as in
  // the reference.
  for (const float factor : {1e3f, 1e19f, 1e30f}) {
    SeededRandom random(31);
    OneSequence one(random, {DType::kF32, 16, 1, 2, 16, 0}, 140);
    for (float& v : one.data.q) v *= factor;
    for (float& v : one.data.k) v *= factor;
    one.data.put_into(one.cache, one.shape, 0);
    const auto expected = one.run(Isa::kReference, 120, 140);
    for (Isa isa : available_isas()) {
      ASSERT_TRUE(equal_bits(expected, one.run(isa, 120, 140))) << to_string(isa);
    }
  }
}

TEST(Attention, StridedRowsAreReadAndWrittenInPlace) {
  SeededRandom random(41);
  const AttentionShape shape{DType::kF16, 16, 2, 2, 32, 0};
  OneSequence one(random, shape, 20);
  const auto expected = one.run(Isa::kReference, 10, 20);
  const int64_t width = 4 * 32;
  for (Isa isa : available_isas()) {
    std::vector<float> wide_q(10 * 300, 9.0f), wide_out(10 * 200, 9.0f);
    for (int64_t t = 0; t < 10; ++t) {
      std::copy_n(one.data.q.data() + (10 + t) * width, width, wide_q.data() + t * 300);
    }
    std::vector<int32_t> positions(10), seqs(10, 0);
    std::iota(positions.begin(), positions.end(), 10);
    AttentionArgs args;
    args.q = view(wide_q.data(), {10, 4, 32});
    args.q.row_stride = 300;
    args.kv = one.cache.pages();
    args.positions = view(positions.data(), {10});
    args.seq_of_token = view(seqs.data(), {10});
    args.block_tables = one.cache.tables();
    args.scale = shape.scale();
    args.out = view(wide_out.data(), {10, width});
    args.out.row_stride = 200;
    attention(args, *make_stream(isa, 2));
    for (int64_t t = 0; t < 10; ++t) {
      ASSERT_TRUE(equal_bits(std::span<const float>(expected.data() + t * width, width),
                             std::span<const float>(wide_out.data() + t * 200, width)));
      for (int64_t i = width; i < 200; ++i) ASSERT_EQ(wide_out[t * 200 + i], 9.0f);
    }
  }
}

class AttentionDeathTest : public ::testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(Isas, AttentionDeathTest, ::testing::ValuesIn(available_isas()),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(AttentionDeathTest, ABlockOutsideThePagesIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  SeededRandom random(43);
  OneSequence one(random, {DType::kF16, 16, 1, 1, 16, 0}, 40);
  one.cache.drop_blocks_below(0, 16);  // still visible without a window
  EXPECT_DEATH(one.run(GetParam(), 39, 40), "index_checks.cpp");
}

TEST_P(AttentionDeathTest, ASequenceOrPositionOutsideTheTablesIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  SeededRandom random(44);
  const AttentionShape shape{DType::kF16, 16, 1, 1, 16, 0};
  OneSequence one(random, shape, 40);
  const auto attend_row = [&](int32_t seq, int32_t position) {
    StepRows rows;
    rows.add(shape, one.data, 0, 39, 40);
    rows.seqs = {seq};
    rows.positions = {position};
    attend(*make_stream(GetParam(), 1), shape, one.cache, rows);
  };
  attend_row(0, 39);
  EXPECT_DEATH(attend_row(1, 39), "index_checks.cpp");
  EXPECT_DEATH(attend_row(-1, 39), "index_checks.cpp");
  EXPECT_DEATH(attend_row(0, 48), "index_checks.cpp");
  EXPECT_DEATH(attend_row(0, -1), "index_checks.cpp");
}

}  // namespace
}  // namespace lockstep
