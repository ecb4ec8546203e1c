// packed_layout.h: the address of each value of a packed matrix (docs/numerics.md section 6). Used
// by the packer, the reference and the code that passes panels to the inner loops.
//
// One block of 32 values (k = 0 … 31) of a panel of 16 rows, quantised types:
//   | scale f16 [16] | min f16 [16] | high bits [16][4] | 4 bits: [4][16][4]  8 bits: [8][16][4] |
//
//   quants, byte [g][row][j]   8 bits: k = 4g + j
//                              4 bits: k = 4g + j in the low nibble, k = 16 + 4g + j in the high
//   high bits, byte [row][j]   bit g is the fifth bit of k = 4g + j
//
// The same for K-quants, whose quants and fifth bits lie likewise:
//   | scale u8 [16] | min u8 [16] | high bits [16][4] or, 6 bits, [2][16][4] | [4][16][4] |
//
//   scale, min                 the 6-bit sc and m of the block; Q6_K: the int8 scales of k < 16 and
//                              of the others
//   high bits, byte [h][row][j], 6 bits: bits 2i and 2i + 1 are the upper two of k = 16h + 4i + j
//
// One leaf of a panel is its blocks in summing order. K-quants have an array of headers before
// them, one for each super-block that the leaf touches, in column order:
//   | d f16 [16] | -dmin f16 [16] (types with a minimum) |
// All leaves of a matrix have room for as many headers, wherever they begin; unused ones are 0.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "kernels/layout/packed_weights.h"
#include "kernels/layout/quant.h"

namespace lockstep {

// Byte offsets of the parts of one block of a panel. The scales are at offset 0.
struct BlockLayout {
  int64_t min = 0;  // Q6_K: the scales of k = 16 …
  int64_t high = 0;
  int64_t quants = 0;  // float types: the values, [k][16]
  int64_t bytes = 0;   // size of the block
};

constexpr BlockLayout block_layout(WeightType type) {
  BlockLayout layout;
  if (!is_quantized(type)) {
    layout.bytes = kBlockLen * kPanelRows * float_bytes(type);
    return layout;
  }
  const int64_t sixteen = (is_k_quant(type) ? 1 : 2) * kPanelRows;  // bytes of scales or minimums
  layout.min = sixteen;
  layout.high = layout.min + (has_min(type) || is_k_quant(type) ? sixteen : 0);
  layout.quants = layout.high + 4 * kPanelRows * n_high_bits(type);
  layout.bytes = layout.quants + kPanelRows * kBlockLen / (type == WeightType::kQ8_0 ? 1 : 2);
  return layout;
}

// Bytes of the header of one super-block of a panel; 0 for types without super-blocks.
constexpr int64_t header_bytes(WeightType type) {
  return is_k_quant(type) ? (has_min(type) ? 4 : 2) * kPanelRows : 0;
}

// The cut of one leaf of leaf_k values into blocks, and its lanes. Block b belongs to lane
// b % n_lanes; a lane adds its blocks in ascending order.
struct LeafCut {
  int64_t n_blocks = 0;
  int n_lanes = 1;
  int last_len = kBlockLen;  // values of the last block; below 32 for float weights only

  explicit constexpr LeafCut(int64_t leaf_k)
      : n_blocks((leaf_k + kBlockLen - 1) / kBlockLen),
        n_lanes(lockstep::n_lanes(n_blocks)),
        last_len(static_cast<int>(leaf_k - (n_blocks - 1) * kBlockLen)) {}

  // The column of the first value of block `block`, blocks being counted over all leaves.
  constexpr int64_t first_value(int64_t block) const {
    return block * kBlockLen - block / n_blocks * (kBlockLen - last_len);
  }
  // Values of that block.
  constexpr int len(int64_t block) const {
    return block % n_blocks == n_blocks - 1 ? last_len : kBlockLen;
  }
  // The index of block b of a leaf in summing order: the blocks of earlier lanes come first.
  constexpr int64_t place(int64_t b) const {
    const int64_t lane = b % n_lanes;
    return lane * (n_blocks / n_lanes) + std::min(lane, n_blocks % n_lanes) + b / n_lanes;
  }
  // Values of a leaf before block b in summing order. Only the last block can be short.
  constexpr int64_t values_before(int64_t b) const {
    const int64_t before = place(b);
    return before * kBlockLen - (before > place(n_blocks - 1) ? kBlockLen - last_len : 0);
  }
};

// Calls fn(block, n_values) for every block of a row in summing order, which is the order of the
// bytes of a panel. Blocks are numbered in column order.
template <class Fn>
void for_each_block(const PackedWeights& weights, const Fn& fn) {
  const LeafCut cut(weights.leaf_k());
  for (int64_t leaf = 0; leaf < weights.leaves.n; ++leaf) {
    for (int64_t lane = 0; lane < cut.n_lanes; ++lane) {
      for (int64_t b = lane; b < cut.n_blocks; b += cut.n_lanes) {
        fn(leaf * cut.n_blocks + b, cut.len(b));
      }
    }
  }
}

// Bytes of the headers of one leaf of a panel. Leaves begin at multiples of their length, so the
// one that begins latest in a super-block begins a common divisor before its end.
inline int64_t leaf_header_bytes(WeightType type, int64_t leaf_k) {
  if (!is_k_quant(type)) return 0;
  const int64_t n_blocks = leaf_k / kBlockLen;
  const int64_t latest = kBlocksPerSuper - std::gcd(n_blocks, int64_t{kBlocksPerSuper});
  return (latest + n_blocks + kBlocksPerSuper - 1) / kBlocksPerSuper * header_bytes(type);
}

// Bytes of one leaf of a panel, and of all leaves of this rank.
inline int64_t leaf_bytes(WeightType type, int64_t leaf_k) {
  return leaf_header_bytes(type, leaf_k) + leaf_k * block_layout(type).bytes / kBlockLen;
}
inline int64_t panel_bytes(const PackedWeights& weights) {
  return weights.leaves.n * leaf_bytes(weights.type, weights.leaf_k());
}

// The byte offset of the leaf, counted from the rank's first, in the panel that holds `row`.
inline int64_t leaf_offset(const PackedWeights& weights, int64_t row, int64_t leaf) {
  return row / kPanelRows * panel_bytes(weights) +
         leaf * leaf_bytes(weights.type, weights.leaf_k());
}

// The byte offset of a block of the panel that holds `row`. Blocks are numbered in column order
// over all columns of this rank.
inline int64_t block_offset(const PackedWeights& weights, int64_t row, int64_t block) {
  const LeafCut cut(weights.leaf_k());
  const int64_t leaf = block / cut.n_blocks;
  const int64_t values = cut.values_before(block - leaf * cut.n_blocks);
  return leaf_offset(weights, row, leaf) + leaf_header_bytes(weights.type, weights.leaf_k()) +
         values * block_layout(weights.type).bytes / kBlockLen;
}

// The index of the first block of the rank's leaf `leaf` in its super-block.
inline int64_t block_in_super(const PackedWeights& weights, int64_t leaf) {
  return (weights.leaves.first + leaf) * weights.leaf_k() / kBlockLen % kBlocksPerSuper;
}

// The byte offset of the header of such a block. K-quants only.
inline int64_t header_offset(const PackedWeights& weights, int64_t row, int64_t block) {
  const int64_t n_blocks = weights.leaf_k() / kBlockLen;
  const int64_t leaf = block / n_blocks;
  const int64_t super = (block_in_super(weights, leaf) + block % n_blocks) / kBlocksPerSuper;
  return leaf_offset(weights, row, leaf) + super * header_bytes(weights.type);
}

// The integer of one weight of a quantised type in PackedLayout::kRows, its offset subtracted.
// `block`: the bytes of a block of the panel.
constexpr int row_quant(WeightType type, const uint8_t* block, int row, int k) {
  const BlockLayout layout = block_layout(type);
  const uint8_t* quants = block + layout.quants + 4 * row + k % 4;
  if (type == WeightType::kQ8_0) return static_cast<int8_t>(quants[4 * kPanelRows * (k / 4)]);
  const int nibbles = quants[4 * kPanelRows * (k % 16 / 4)];
  int q = k < 16 ? nibbles & 15 : nibbles >> 4;
  if (const int n_bits = n_high_bits(type); n_bits != 0) {
    const int n_values = 8 / n_bits;  // whose bits share a byte
    const int high = block[layout.high + 4 * kPanelRows * (k / 4 / n_values) + 4 * row + k % 4];
    q |= (high >> n_bits * (k / 4 % n_values) & ((1 << n_bits) - 1)) << 4;
  }
  return q - quant_offset(type);
}

// One block of one row. The offset of the stored integers (quant_offset) is subtracted already, and
// integers of K-quants are multiplied by their integer scales, which is exact: so all quantised
// types have one formula (docs/numerics.md section 2).
struct RowBlock {
  float scale = 0.0f;
  float min = 0.0f;
  int q[kBlockLen] = {};
};
RowBlock read_block(const PackedWeights& weights, int64_t row, int64_t block);

// Value k of a row of a float type.
float read_value(const PackedWeights& weights, int64_t row, int64_t k);

}  // namespace lockstep
