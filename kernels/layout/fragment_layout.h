// fragment_layout.h: the address of each value of a quantised matrix that is packed in fragments
// (PackedLayout::kFragments): the 16 x 32 values of a block lie as the 32 lanes of a GPU's warp
// hold them for one tensor core instruction (kernels/cuda/device/mma.cuh), so that a warp reads a
// block front to back with one wide load each. Panels, the order of their blocks and the bytes of
// a block are those of packed_layout.h, and float types have one layout.
//
//   | 8 bits: [warp lane][16]  4 bits: [warp lane][8] | high bits u16 [warp lane] | scales f16 |
//
// Warp lane 4g + t, g = 0 … 7, t = 0 … 3, holds k = 8t … 8t + 7 of rows g and g + 8:
//   8 bits      four words: (row g, k = 8t …), (g + 8, 8t …), (g, 8t + 4 …), (g + 8, 8t + 4 …)
//   4 bits      two words, rows g and g + 8: byte j has k = 8t + j in its low nibble and
//               k = 8t + 4 + j in the high one
//   high bits   the fifth bits, in such places that h | h << 14 has those of the four words above
//               at bits 0, 1, 4 and 5 of bytes 0 … 3
//   scales      of rows g and g + 8, g ascending; with a minimum, the two minimums follow
//
// Q4_0 and Q5_0 are stored as two's complements, without their offset (docs/numerics.md section 2).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/layout/packed_layout.h"

namespace lockstep {

// Byte offsets of the parts of one block. The quants are at offset 0.
struct FragmentLayout {
  int high = 0;
  int scales = 0;
  int bytes = 0;  // size of the block, as in BlockLayout
};

constexpr FragmentLayout fragment_layout(WeightType type) {
  FragmentLayout layout;
  layout.high = kPanelRows * kBlockLen / (type == WeightType::kQ8_0 ? 1 : 2);
  layout.scales = layout.high + (has_high_bits(type) ? 4 * kPanelRows : 0);
  layout.bytes = layout.scales + (has_min(type) ? 4 : 2) * kPanelRows;
  return layout;
}

// row: 0 … 15 of the panel; k: 0 … 31 of the block.
constexpr int fragment_lane(int row, int k) { return row % 8 * 4 + k / 8; }
// The word, of the four that an instruction takes from a warp lane.
constexpr int fragment_word(int row, int k) { return row / 8 + k % 8 / 4 * 2; }

// Bit of the high bits of a warp lane.
constexpr int fragment_high_bit(int row, int k) {
  const int word = fragment_word(row, k);
  return word + word / 2 * 2 + k % 2 * 8 + k % 4 / 2 * 2;
}
constexpr int fragment_scale(WeightType type, int row) {
  return fragment_layout(type).scales + row % 8 * (has_min(type) ? 8 : 4) + row / 8 * 2;
}
constexpr int fragment_min(WeightType type, int row) { return fragment_scale(type, row) + 4; }

// The integer of one weight, its offset subtracted. `block`: the bytes of a block of the panel.
constexpr int fragment_quant(WeightType type, const uint8_t* block, int row, int k) {
  const int lane = fragment_lane(row, k);
  if (type == WeightType::kQ8_0) {
    return static_cast<int8_t>(block[16 * lane + 4 * fragment_word(row, k) + k % 4]);
  }
  int q = block[8 * lane + row / 8 * 4 + k % 4] >> k % 8 / 4 * 4 & 15;
  int n_bits = 4;
  if (has_high_bits(type)) {
    const uint8_t* high = block + fragment_layout(type).high + 2 * lane;
    q |= ((high[0] | high[1] << 8) >> fragment_high_bit(row, k) & 1) << 4;
    n_bits = 5;
  }
  const bool negative = !has_min(type) && (q >> (n_bits - 1)) != 0;
  return negative ? q - (1 << n_bits) : q;
}

// Writes one block of one row, given in the layout of the file. Of the other rows of the panel, no
// bit changes, but the call is not atomic: one thread packs the rows of a panel.
void pack_fragments(WeightType type, const std::byte* source, std::byte* block, int row);

}  // namespace lockstep
