// packed_layout.h: where a value of a packed matrix lies (docs/numerics.md, section 6). For the
// packer, the reference and the code that hands panels to the inner loops.
//
// One 32-value block of a panel of 16 rows, quantised types:
//   | scale f16 [16] | min f16 [16] | high bits [16][4] | 4 bits: [4][16][4]  8 bits: [8][16][4] |
//   byte [g][row][j] holds k = 4g + j; of 4-bit types, k = 16 + 4g + j too, in its high nibble
//   high byte [row][j], bit g: the fifth bit of k = 4g + j
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/layout/packed_weights.h"
#include "kernels/layout/quant.h"

namespace lockstep {

// Byte offsets of the parts of one block of a panel.
struct BlockLayout {
  int64_t min = 0;  // scales are at 0
  int64_t high = 0;
  int64_t quants = 0;  // float types: the values, [k][16]
  int64_t bytes = 0;
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

// How one leaf of leaf_k values is cut into blocks and lanes.
struct LeafCut {
  int64_t n_blocks = 0;
  int n_lanes = 1;
  int last_len = kBlockLen;  // values of the last block; short for float weights only

  explicit constexpr LeafCut(int64_t leaf_k)
      : n_blocks((leaf_k + kBlockLen - 1) / kBlockLen),
        n_lanes(lockstep::n_lanes(n_blocks)),
        last_len(static_cast<int>(leaf_k - (n_blocks - 1) * kBlockLen)) {}

  // The first value, in column order, of block `block` of a matrix of such leaves.
  constexpr int64_t first_value(int64_t block) const {
    return block * kBlockLen - block / n_blocks * (kBlockLen - last_len);
  }
  constexpr int len(int64_t block) const {
    return block % n_blocks == n_blocks - 1 ? last_len : kBlockLen;
  }
  // The place of block b of a leaf in summing order: the blocks of earlier lanes come first.
  constexpr int64_t place(int64_t b) const {
    const int64_t lane = b % n_lanes;
    return lane * (n_blocks / n_lanes) + std::min(lane, n_blocks % n_lanes) + b / n_lanes;
  }
  // Values of a leaf that are summed before block b. Only the last block can be short.
  constexpr int64_t values_before(int64_t b) const {
    const int64_t before = place(b);
    return before * kBlockLen - (before > place(n_blocks - 1) ? kBlockLen - last_len : 0);
  }
};

// fn(block, n_values) for every block of a row in summing order, as the bytes of a panel follow.
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

inline int64_t panel_bytes(WeightType type, int64_t k) {
  return k * block_layout(type).bytes / kBlockLen;
}

// The first byte of block `block` (of all of this rank's columns) of the panel that holds `row`.
inline int64_t block_offset(const PackedWeights& weights, int64_t row, int64_t block) {
  const LeafCut cut(weights.leaf_k());
  const int64_t leaf = block / cut.n_blocks;
  const int64_t values = leaf * weights.leaf_k() + cut.values_before(block - leaf * cut.n_blocks);
  return row / kPanelRows * panel_bytes(weights.type, weights.k) +
         panel_bytes(weights.type, values);
}

// One block of one row, integers with their offset removed.
struct RowBlock {
  float scale = 0.0f;
  float min = 0.0f;
  int q[kBlockLen] = {};
};
RowBlock read_block(const PackedWeights& weights, int64_t row, int64_t block);

// Value k of a row of a float type.
float read_value(const PackedWeights& weights, int64_t row, int64_t k);

}  // namespace lockstep
