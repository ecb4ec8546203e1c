#include <algorithm>
#include <numeric>

#include "kernels/layout/fragment_layout.h"
#include "kernels/layout/packed_layout.h"
#include "tests/unit/kernels/linear_support.h"

namespace lockstep::testing {
namespace {

constexpr PackedLayout kLayouts[] = {PackedLayout::kRows, PackedLayout::kFragments};

// Dequantisation in fp32 as docs/numerics.md section 3 defines it, from the bytes of the file.
float dequantized(const FileMatrix& matrix, int64_t row, int64_t k) {
  if (!is_quantized(matrix.type)) return static_cast<float>(file_value(matrix, row, k));
  if (is_k_quant(matrix.type)) {  // every product is exact
    const KQuantValue w = k_quant_value(matrix, row, k);
    return static_cast<float>(w.d * w.scale * w.q + w.min);
  }
  const std::byte* block = matrix.row(row) + k / 32 * source_block_bytes(matrix.type);
  const float scale = f16_to_f32(read<uint16_t>(block));
  if (!has_min(matrix.type)) return static_cast<float>(file_value(matrix, row, k));
  const float min = f16_to_f32(read<uint16_t>(block + 2));
  const double q = scale == 0.0f ? 0.0 : (file_value(matrix, row, k) - min) / scale;
  return std::fma(scale, static_cast<float>(std::rint(q)), min);
}

TEST(PackedWeights, UnpackGivesTheValuesOfTheFile) {
  SeededRandom random(20);
  for (WeightType type : kAllTypes) {
    for (int64_t n_rows : {1, 15, 16, 33}) {
      for (int64_t k : {32, 96, 2080}) {  // 2080: 65 blocks, summed in 16 lanes
        const FileMatrix matrix = random_matrix(random, type, n_rows, k);
        const PackedMatrix packed = pack(matrix, {1, 0, 1});
        std::vector<float> row(static_cast<size_t>(k));
        for (int64_t r = 0; r < n_rows; ++r) {
          unpack_row(packed.weights, r, row);
          for (int64_t i = 0; i < k; ++i) {
            ASSERT_EQ(row[i], dequantized(matrix, r, i))
                << to_string(type) << " row " << r << " of " << n_rows << " column " << i;
          }
        }
      }
    }
  }
}

// Both layouts hold the same blocks: the same values, scales and minimums, in the same order.
TEST(PackedWeights, FragmentsHoldTheBlocksOfTheRows) {
  SeededRandom random(27);
  for (WeightType type : kAllTypes) {
    EXPECT_EQ(is_quantized(type) ? fragment_layout(type).bytes : block_layout(type).bytes,
              block_layout(type).bytes);
    for (int64_t n_rows : {1, 16, 37}) {
      const FileMatrix matrix = random_matrix(random, type, n_rows, 3 * 96);
      const LeafRange leaves{3, 1, 2};
      const PackedMatrix rows = pack(matrix, leaves);
      const PackedMatrix fragments = pack(matrix, leaves, PackedLayout::kFragments);
      std::vector<float> expected(2 * 96), got(2 * 96);
      for (int64_t r = 0; r < n_rows; ++r) {
        unpack_row(rows.weights, r, expected);
        unpack_row(fragments.weights, r, got);
        ASSERT_EQ(got, expected) << to_string(type) << " row " << r;
        for (int64_t b = 0; is_quantized(type) && b < 6; ++b) {
          const RowBlock x = read_block(rows.weights, r, b),
                         y = read_block(fragments.weights, r, b);
          ASSERT_TRUE(std::equal(x.q, x.q + kBlockLen, y.q)) << to_string(type) << " row " << r;
          ASSERT_EQ(x.scale, y.scale);
          ASSERT_EQ(x.min, y.min);
        }
      }
    }
  }
}

// Byte by byte, as fragment_layout.h draws them.
TEST(PackedWeights, FragmentsLieAsAWarpHoldsThem) {
  SeededRandom random(28);
  const FileMatrix q8 = random_matrix(random, WeightType::kQ8_0, 16, 32);
  const PackedMatrix packed8 = pack(q8, {1, 0, 1}, PackedLayout::kFragments);
  const FileMatrix q5_1 = random_matrix(random, WeightType::kQ5_1, 16, 32);
  const PackedMatrix packed5 = pack(q5_1, {1, 0, 1}, PackedLayout::kFragments);
  for (int g = 0; g < 8; ++g) {
    for (int half = 0; half < 2; ++half) {
      const std::byte* file = q5_1.row(g + 8 * half);
      EXPECT_EQ(read<uint16_t>(&packed5.data[320 + 8 * g + 2 * half]), read<uint16_t>(file));
      EXPECT_EQ(read<uint16_t>(&packed5.data[324 + 8 * g + 2 * half]), read<uint16_t>(file + 2));
      EXPECT_EQ(read<uint16_t>(&packed8.data[512 + 4 * g + 2 * half]),
                read<uint16_t>(q8.row(g + 8 * half)));
      for (int k = 0; k < 32; ++k) {
        const int lane = 4 * g + k / 8, j = k % 4, second = k % 8 / 4;
        EXPECT_EQ(packed8.data[16 * lane + 4 * half + 8 * second + j], q8.row(g + 8 * half)[2 + k]);
        const std::byte both = packed5.data[8 * lane + 4 * half + j];
        const std::byte source = file[8 + k % 16];
        EXPECT_EQ(second == 0 ? both & std::byte{15} : both >> 4,
                  k < 16 ? source & std::byte{15} : source >> 4);
        const uint32_t high = read<uint16_t>(&packed5.data[256 + 2 * lane]);
        constexpr int kBits[] = {0, 1, 4, 5};
        EXPECT_EQ((high | high << 14) >> (8 * j + kBits[half + 2 * second]) & 1,
                  read<uint32_t>(file + 4) >> k & 1);
      }
    }
  }
}

TEST(PackedWeights, FloatRowsMayHaveAnyLength) {
  SeededRandom random(21);
  for (WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
    for (int64_t k : {1, 31, 33, 100, 2049}) {
      const FileMatrix matrix = random_matrix(random, type, 18, k);
      const PackedMatrix packed = pack(matrix, {1, 0, 1});
      std::vector<float> row(static_cast<size_t>(k));
      for (int64_t r = 0; r < 18; ++r) {
        unpack_row(packed.weights, r, row);
        for (int64_t i = 0; i < k; ++i) ASSERT_EQ(row[i], dequantized(matrix, r, i));
      }
    }
  }
}

TEST(PackedWeights, ARankHoldsTheColumnsOfItsLeaves) {
  SeededRandom random(22);
  for (WeightType type : {WeightType::kQ4_1, WeightType::kQ5_0, WeightType::kF16}) {
    const FileMatrix matrix = random_matrix(random, type, 17, 5 * 64);
    const PackedMatrix packed = pack(matrix, {5, 1, 3});
    ASSERT_EQ(packed.weights.k, 3 * 64);
    std::vector<float> row(3 * 64);
    for (int64_t r = 0; r < 17; ++r) {
      unpack_row(packed.weights, r, row);
      for (int64_t i = 0; i < 3 * 64; ++i) ASSERT_EQ(row[i], dequantized(matrix, r, 64 + i));
    }
  }
}

// Leaves that begin and end anywhere in a super-block, short ones and those of 16 lanes.
TEST(PackedWeights, LeavesMayCutSuperBlocks) {
  SeededRandom random(29);
  for (WeightType type : {WeightType::kQ4_K, WeightType::kQ5_K, WeightType::kQ6_K}) {
    for (PackedLayout layout : kLayouts) {
      for (int64_t n_blocks : {1, 2, 3, 4, 5, 8, 28, 35, 66, 74}) {
        const FileMatrix matrix = random_matrix(random, type, 3, 8 * n_blocks * kBlockLen);
        const int first = random.integer(0, 7), n = random.integer(1, 8 - first);
        const PackedMatrix packed = pack(matrix, {8, first, n}, layout);
        std::vector<float> row(static_cast<size_t>(packed.weights.k));
        for (int64_t r = 0; r < 3; ++r) {
          unpack_row(packed.weights, r, row);
          for (int64_t i = 0; i < packed.weights.k; ++i) {
            ASSERT_EQ(row[i], dequantized(matrix, r, packed.weights.first_column() + i))
                << to_string(type) << " leaves of " << n_blocks << " blocks, " << n << " from "
                << first << ", row " << r << " column " << i;
          }
        }
      }
    }
  }
}

// A leaf has room for the super-blocks that it touches, and no leaf of a matrix for more than one
// that it does not.
TEST(PackedWeights, EveryLeafHasRoomForItsHeaders) {
  for (int64_t n_blocks = 1; n_blocks <= 80; ++n_blocks) {
    const int64_t room = leaf_header_bytes(WeightType::kQ4_K, n_blocks * kBlockLen) / 64;
    int64_t most = 0;
    for (int64_t leaf = 0; leaf < 8; ++leaf) {
      const int64_t first = leaf * n_blocks;
      const int64_t touched = (first + n_blocks - 1) / 8 - first / 8 + 1;
      EXPECT_LE(touched, room);
      EXPECT_GE(touched + 1, room);
      most = std::max(most, touched);
    }
    EXPECT_EQ(most, room) << n_blocks;
  }
  EXPECT_EQ(leaf_header_bytes(WeightType::kQ6_K, 4096), 16 * 32);
  EXPECT_EQ(leaf_header_bytes(WeightType::kQ5_1, 4096), 0);
}

TEST(PackedWeights, RowsMayArriveInAnyOrderAndNumber) {
  SeededRandom random(23);
  for (WeightType type : kAllTypes) {
    for (PackedLayout layout : kLayouts) {
      const FileMatrix matrix = random_matrix(random, type, 43, 64);
      const PackedMatrix whole = pack(matrix, {1, 0, 1}, layout);
      PackedMatrix pieces = whole;
      pieces.weights.data = pieces.data.data();
      std::fill(pieces.data.begin(), pieces.data.end(), std::byte{0x5a});
      std::vector<int64_t> starts{0, 1, 5, 16, 30, 42};
      std::shuffle(starts.begin(), starts.end(), random.engine());
      for (int64_t first : starts) {
        const int64_t ends[] = {1, 5, 16, 30, 42, 43};
        const int64_t end = *std::upper_bound(std::begin(ends), std::end(ends), first);
        pack_rows(pieces.weights, pieces.data.data(), first, end - first, matrix.row(first),
                  matrix.row_bytes());
      }
      EXPECT_EQ(pieces.data, whole.data) << to_string(type);
    }
  }
}

// The last panel is padded with rows of zeros, so that no op reads earlier bytes of the buffer.
TEST(PackedWeights, TheLastPanelIsPaddedWithZeroRows) {
  SeededRandom random(24);
  for (WeightType type : kAllTypes) {
    for (PackedLayout layout : kLayouts) {
      PackedMatrix packed = pack(random_matrix(random, type, 3, 64), {1, 0, 1}, layout);
      packed.weights.n_rows = 16;
      std::vector<float> row(64);
      for (int64_t r = 3; r < 16; ++r) {
        unpack_row(packed.weights, r, row);
        for (float value : row) ASSERT_EQ(value, 0.0f) << to_string(type);
      }
    }
  }
}

TEST(PackedWeights, TakeAsManyBytesAsTheFileForWholePanels) {
  for (WeightType type : kAllTypes) {
    if (is_k_quant(type)) continue;
    const int64_t file_bytes = 48 * source_row_bytes(type, 160);
    EXPECT_EQ(packed_bytes({type, 48, 160, {}}), file_bytes) << to_string(type);
    EXPECT_EQ(packed_bytes({type, 33, 160, {}}), file_bytes) << to_string(type);
  }
}

// The 6-bit scales and minimums are bytes, so that a super-block takes 148 bytes instead of 144
// (Q4_K) or 180 instead of 176 (Q5_K): 4.625 and 5.625 bits a weight.
TEST(PackedWeights, KQuantsTakeFourBytesMoreForASuperBlock) {
  const auto bytes = [](WeightType type, LeafRange leaves) {
    return packed_bytes({.type = type, .n_rows = 16, .k = 4096, .leaves = leaves});
  };
  EXPECT_EQ(bytes(WeightType::kQ4_K, {}), 16 * 16 * 148);
  EXPECT_EQ(bytes(WeightType::kQ5_K, {}), 16 * 16 * 180);
  EXPECT_EQ(bytes(WeightType::kQ6_K, {}), 16 * 16 * 210);
  // A d and a dmin that two leaves share are held twice: here, four of eight leaves begin in the
  // middle of a super-block.
  const PackedWeights cut{
      .type = WeightType::kQ4_K, .n_rows = 16, .k = 8 * 28 * 32, .leaves = {8, 0, 8}};
  EXPECT_EQ(packed_bytes(cut), 16 * 28 * 148 + 4 * 64);
}

// The place of every value as docs/numerics.md section 6 defines it, byte by byte.
TEST(PackedWeights, LieAsTheDocumentSays) {
  SeededRandom random(25);
  const FileMatrix q5_1 = random_matrix(random, WeightType::kQ5_1, 16, 32);
  const PackedMatrix packed = pack(q5_1, {1, 0, 1});
  for (int row = 0; row < 16; ++row) {
    const std::byte* file = q5_1.row(row);
    EXPECT_EQ(read<uint16_t>(&packed.data[2 * row]), read<uint16_t>(file));
    EXPECT_EQ(read<uint16_t>(&packed.data[32 + 2 * row]), read<uint16_t>(file + 2));
    for (int k = 0; k < 32; ++k) {
      const int g = k / 4, j = k % 4;
      const bool fifth = (packed.data[64 + 4 * row + j] >> g & std::byte{1}) != std::byte{0};
      EXPECT_EQ(fifth, (read<uint32_t>(file + 4) >> k & 1) != 0);
      const std::byte both = packed.data[128 + 64 * (g % 4) + 4 * row + j];
      const std::byte source = file[8 + k % 16];
      EXPECT_EQ(k < 16 ? both & std::byte{15} : both >> 4,
                k < 16 ? source & std::byte{15} : source >> 4);
    }
  }
  const FileMatrix q8 = random_matrix(random, WeightType::kQ8_0, 16, 32);
  const PackedMatrix packed8 = pack(q8, {1, 0, 1});
  const FileMatrix f32 = random_matrix(random, WeightType::kF32, 16, 32);
  const PackedMatrix packed32 = pack(f32, {1, 0, 1});
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 32; ++k) {
      EXPECT_EQ(packed8.data[32 + 64 * (k / 4) + 4 * row + k % 4], q8.row(row)[2 + k]);
      EXPECT_EQ(read<float>(&packed32.data[4 * (16 * k + row)]), read<float>(f32.row(row) + 4 * k));
    }
  }
}

// Q5_K and Q6_K as packed_layout.h and fragment_layout.h draw them, byte by byte: the second
// super-block of a row, of which a leaf has the last two blocks.
TEST(PackedWeights, KQuantsLieAsTheDocumentSays) {
  SeededRandom random(30);
  constexpr int64_t kHeader = 64;
  for (PackedLayout layout : kLayouts) {
    const FileMatrix matrix = random_matrix(random, WeightType::kQ5_K, 16, 512);
    const PackedMatrix packed = pack(matrix, {8, 7, 1}, layout);
    ASSERT_EQ(std::ssize(packed.data), kHeader + 2 * 352);
    for (int row = 0; row < 16; ++row) {
      const std::byte* super = matrix.row(row) + 176;
      const int d = layout == PackedLayout::kRows ? 2 * row : row % 8 * 8 + row / 8 * 2;
      const int min = d + (layout == PackedLayout::kRows ? 32 : 4);
      EXPECT_EQ(read<uint16_t>(&packed.data[d]), read<uint16_t>(super));
      EXPECT_EQ(read<uint16_t>(&packed.data[min]), read<uint16_t>(super + 2) ^ 0x8000);
      for (int k = 0; k < 64; ++k) {
        const std::byte* block = &packed.data[kHeader + k / 32 * 352];
        const KQuantValue w = k_quant_value(matrix, row, 448 + k);
        const int i = k % 32, lane = row % 8 * 4 + i / 8, second = i % 8 / 4;
        int scale, low, high;
        if (layout == PackedLayout::kRows) {
          scale = std::to_integer<int>(block[row]);
          const int byte = std::to_integer<int>(block[96 + 64 * (i % 16 / 4) + 4 * row + i % 4]);
          low = i < 16 ? byte & 15 : byte >> 4;
          high = std::to_integer<int>(block[32 + 4 * row + i % 4]) >> i / 4 & 1;
        } else {
          scale = std::to_integer<int>(block[320 + row % 8 * 4 + row / 8]);
          const int byte = std::to_integer<int>(block[8 * lane + 4 * (row / 8) + i % 4]);
          low = second == 0 ? byte & 15 : byte >> 4;
          const uint32_t bits = read<uint16_t>(block + 256 + 2 * lane);
          constexpr int kBits[] = {0, 1, 4, 5};
          high = (bits | bits << 14) >> (8 * (i % 4) + kBits[row / 8 + 2 * second]) & 1;
        }
        ASSERT_EQ(scale, w.scale);
        ASSERT_EQ(low + 16 * high, w.q) << "row " << row << " k " << k;
      }
    }
  }
  for (PackedLayout layout : kLayouts) {
    const FileMatrix matrix = random_matrix(random, WeightType::kQ6_K, 16, 256);
    const PackedMatrix packed = pack(matrix, {1, 0, 1}, layout);
    ASSERT_EQ(std::ssize(packed.data), 32 + 8 * 416);
    for (int row = 0; row < 16; ++row) {
      for (int k = 0; k < 256; ++k) {
        const std::byte* block = &packed.data[32 + k / 32 * 416];
        const KQuantValue w = k_quant_value(matrix, row, k);
        const int i = k % 32, lane = row % 8 * 4 + i % 16 / 4, word = row / 8 + i / 16 * 2;
        if (layout == PackedLayout::kRows) {
          EXPECT_EQ(read<int8_t>(block + 16 * (i / 16) + row), w.scale);
          const int high = std::to_integer<int>(block[32 + 64 * (i / 16) + 4 * row + i % 4]);
          ASSERT_EQ(high >> i / 4 % 4 * 2 & 3, (w.q + 32) >> 4);
        } else {
          EXPECT_EQ(read<int8_t>(block + 384 + row % 8 * 4 + 2 * (i / 16) + row / 8), w.scale);
          const int low = std::to_integer<int>(block[8 * lane + 4 * (row / 8) + i % 4]);
          ASSERT_EQ(low >> i / 16 * 4 & 15, w.q & 15);
          const int high = std::to_integer<int>(block[256 + 4 * lane + i % 4]);
          ASSERT_EQ(high >> 2 * word & 3, w.q >> 4 & 3) << "two's complement";
        }
      }
    }
  }
}

TEST(PackedWeightsDeathTest, RowsOutsideTheMatrixAreRefused) {
  SeededRandom random(26);
  const FileMatrix matrix = random_matrix(random, WeightType::kQ8_0, 4, 32);
  PackedMatrix packed = pack(matrix, {1, 0, 1});
  const auto pack_at = [&](int64_t first, int64_t n) {
    pack_rows(packed.weights, packed.data.data(), first, n, matrix.row(0), matrix.row_bytes());
  };
  EXPECT_DEATH(pack_at(3, 2), "packed_weights.cpp");
  EXPECT_DEATH(pack_at(-1, 1), "packed_weights.cpp");
  std::vector<float> row(32);
  EXPECT_DEATH(unpack_row(packed.weights, 4, row), "packed_weights.cpp");
  EXPECT_DEATH(packed_bytes({WeightType::kQ4_0, 1, 33, {}}), "packed_weights.cpp");
}

}  // namespace
}  // namespace lockstep::testing
