// packed_layout.h: the address of each value of a packed matrix (docs/numerics.md section 6). Used
// by the packer, the reference and the code that passes panels to the inner loops.
//
// One block of 32 values (k = 0 … 31) of a panel of 16 rows, quantised types:
//   | scale f16 [16] | min f16 [16] | high bits [16][4] | 4 bits: [4][16][4]  8 bits: [8][16][4] |
//
//   quants, byte [g][row][j]   8 bits: k = 4g + j
//                              4 bits: k = 4g + j in the low nibble, k = 16 + 4g + j in the high
//   high bits, byte [row][j]   bit g is the fifth bit of k = 4g + j
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/layout/packed_weights.h"
#include "kernels/layout/quant.h"

namespace lockstep {

// Byte offsets of the parts of one block of a panel. The scales are at offset 0.
struct BlockLayout {
  int64_t min = 0;
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
  layout.min = 2 * kPanelRows;
  layout.high = layout.min + (has_min(type) ? 2 * kPanelRows : 0);
  layout.quants = layout.high + (has_high_bits(type) ? 4 * kPanelRows : 0);
  layout.bytes = layout.quants + kPanelRows * kBlockLen / (type == WeightType::kQ8_0 ? 1 : 2);
  return layout;
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

// Bytes of k values of each row of a panel.
inline int64_t panel_bytes(WeightType type, int64_t k) {
  return k * block_layout(type).bytes / kBlockLen;
}

// The byte offset of a block of the panel that holds `row`. Blocks are numbered in column order
// over all columns of this rank.
inline int64_t block_offset(const PackedWeights& weights, int64_t row, int64_t block) {
  const LeafCut cut(weights.leaf_k());
  const int64_t leaf = block / cut.n_blocks;
  const int64_t values = leaf * weights.leaf_k() + cut.values_before(block - leaf * cut.n_blocks);
  return row / kPanelRows * panel_bytes(weights.type, weights.k) +
         panel_bytes(weights.type, values);
}

// One block of one row. The offset of the stored integers (quant_offset) is subtracted already.
struct RowBlock {
  float scale = 0.0f;
  float min = 0.0f;
  int q[kBlockLen] = {};
};
RowBlock read_block(const PackedWeights& weights, int64_t row, int64_t block);

// Value k of a row of a float type.
float read_value(const PackedWeights& weights, int64_t row, int64_t k);

}  // namespace lockstep
