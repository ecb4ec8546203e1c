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
// K-quants have | [warp lane][8] | high bits u16 or, 6 bits, u32 [warp lane] | scales u8 |:
//   scales      of rows g and g + 8, g ascending, and then the two minimums; Q6_K: the scales of
//               k < 16 and then those of the others
// Q6_K has two sums a block, so a warp lane holds k = 4t … 4t + 3 and 16 more: its four words are
// (row g, k = 4t …), (g + 8, 4t …), (g, 4t + 16 …), (g + 8, 4t + 16 …), in nibbles as above.
//   high bits   bits 2i and 2i + 1 of byte j are the upper two of byte j of word i
// A header of a leaf (packed_layout.h) has d and -dmin in the order of the f16 scales.
//
// Q4_0, Q5_0 and Q6_K are stored as two's complements, without their offset (docs/numerics.md
// section 2).
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
  layout.scales = layout.high + 4 * kPanelRows * n_high_bits(type);
  layout.bytes = layout.scales + (has_min(type) && !is_k_quant(type) ? 4 : 2) * kPanelRows;
  return layout;
}

// row: 0 … 15 of the panel; k: 0 … 31 of the block.
constexpr int fragment_lane(WeightType type, int row, int k) {
  return row % 8 * 4 + (type == WeightType::kQ6_K ? k % 16 / 4 : k / 8);
}
// The word, of the four that an instruction takes from a warp lane.
constexpr int fragment_word(WeightType type, int row, int k) {
  return row / 8 + (type == WeightType::kQ6_K ? k / 16 : k % 8 / 4) * 2;
}

// Bit of the high bits of a warp lane of a 5-bit type.
constexpr int fragment_high_bit(int row, int k) {
  const int word = row / 8 + k % 8 / 4 * 2;
  return word + word / 2 * 2 + k % 2 * 8 + k % 4 / 2 * 2;
}
// The place of the f16 scale of a row among those of a block, or of its d in a header. The minimum,
// or -dmin, is 4 bytes further.
constexpr int fragment_f16(WeightType type, int row) {
  return row % 8 * (has_min(type) ? 8 : 4) + row / 8 * 2;
}
constexpr int fragment_scale(WeightType type, int row) {
  return fragment_layout(type).scales + fragment_f16(type, row);
}
constexpr int fragment_min(WeightType type, int row) { return fragment_scale(type, row) + 4; }
// K-quants: the place of the first and of the second number of a row among the scales of a block.
constexpr int fragment_k_scale(WeightType type, int row, int second) {
  return fragment_layout(type).scales + row % 8 * 4 + second * 2 + row / 8;
}

// The integer of one weight, its offset subtracted. `block`: the bytes of a block of the panel.
constexpr int fragment_quant(WeightType type, const uint8_t* block, int row, int k) {
  const int lane = fragment_lane(type, row, k), word = fragment_word(type, row, k);
  if (type == WeightType::kQ8_0) {
    return static_cast<int8_t>(block[16 * lane + 4 * word + k % 4]);
  }
  int q = block[8 * lane + row / 8 * 4 + k % 4] >> word / 2 * 4 & 15;
  const int n_bits = 4 + n_high_bits(type);
  if (n_high_bits(type) == 1) {
    const uint8_t* high = block + fragment_layout(type).high + 2 * lane;
    q |= ((high[0] | high[1] << 8) >> fragment_high_bit(row, k) & 1) << 4;
  } else if (n_high_bits(type) == 2) {
    const uint8_t* high = block + fragment_layout(type).high + 4 * lane;
    q |= (high[k % 4] >> 2 * word & 3) << 4;
  }
  const bool negative = !has_min(type) && (q >> (n_bits - 1)) != 0;
  return negative ? q - (1 << n_bits) : q;
}

// Writes one block of one row. `source`: the block of the file that holds it, of K-quants the
// super-block, in which it has the index `in_super`. Of the other rows of the panel, no bit
// changes, but the call is not atomic: one thread packs the rows of a panel.
void pack_fragments(WeightType type, const std::byte* source, int in_super, std::byte* block,
                    int row);

}  // namespace lockstep
