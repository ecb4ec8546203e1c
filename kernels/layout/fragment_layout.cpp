#include "kernels/layout/fragment_layout.h"

#include <cstring>

#include "common/check.h"
#include "kernels/layout/quant.h"

namespace lockstep {
namespace {

constexpr int kQuarters = 4;  // of a block's 32 values; each belongs to one warp lane

void pack_words(const BlockQ8_0& source, std::byte* block, int row) {
  for (int k = 0; k < kBlockLen; k += 4) {
    constexpr WeightType kType = WeightType::kQ8_0;
    const int word = 4 * fragment_lane(kType, row, k) + fragment_word(kType, row, k);
    std::memcpy(block + 4 * word, source.quants + k, 4);
  }
}

// The place of the two words, rows g and g + 8, in which warp lane t of a row has its nibbles.
std::byte* nibbles_at(std::byte* block, int row, int t) {
  return block + 8 * (row % 8 * kQuarters + t) + row / 8 * 4;
}

// flip: the bits that turn a nibble into a two's complement, in all nibbles of a word.
void pack_nibbles(const uint8_t (&quants)[16], uint32_t flip, std::byte* block, int row) {
  for (int t = 0; t < kQuarters; ++t) {
    uint64_t eight = 0;  // the file has k in the low and k + 16 in the high nibbles
    std::memcpy(&eight, quants + t % 2 * 8, sizeof eight);
    eight = eight >> t / 2 * 4 & 0x0f0f0f0f0f0f0f0fu;
    const auto word = static_cast<uint32_t>(eight | eight >> 28) ^ flip;
    std::memcpy(nibbles_at(block, row, t), &word, sizeof word);
  }
}

void pack_high_bits(const uint8_t (&source)[4], bool flip, std::byte* high, int row) {
  for (int t = 0; t < kQuarters; ++t) {
    std::byte* place = high + 2 * (row % 8 * kQuarters + t);
    uint16_t bits = 0;
    std::memcpy(&bits, place, sizeof bits);
    const unsigned eight = source[t] ^ (flip ? 0xffu : 0u);
    for (int k = 0; k < 8; ++k) {
      const int bit = fragment_high_bit(row, k);
      bits = static_cast<uint16_t>((bits & ~(1u << bit)) | (eight >> k & 1u) << bit);
    }
    std::memcpy(place, &bits, sizeof bits);
  }
}

// Six bits: the nibbles, and the upper two as two's complements.
void pack_six_bits(const BlockOfSuper& values, std::byte* block, int row) {
  constexpr WeightType kType = WeightType::kQ6_K;
  const Nibbles nibbles = nibbles_of(values);
  for (int t = 0; t < kQuarters; ++t) {
    std::memcpy(nibbles_at(block, row, t), nibbles.of + 4 * t, 4);
  }
  std::byte* high = block + fragment_layout(kType).high;
  for (int k = 0; k < kBlockLen; ++k) {
    std::byte& place = high[4 * fragment_lane(kType, row, k) + k % 4];
    const int bit = 2 * fragment_word(kType, row, k);
    place = (place & ~std::byte(3 << bit)) | std::byte((values.q[k] >> 4 ^ 2) << bit);
  }
}

template <class Super>
void pack_k_quant(WeightType type, const std::byte* source, int in_super, std::byte* block,
                  int row) {
  Super super;
  std::memcpy(&super, source, sizeof super);
  const BlockOfSuper values = block_of(super, in_super);
  for (int i = 0; i < 2; ++i) {
    block[fragment_k_scale(type, row, i)] = std::byte{values.scales[i]};
  }
  if (type == WeightType::kQ6_K) return pack_six_bits(values, block, row);
  if (n_high_bits(type) != 0) {
    pack_high_bits(fifth_bits_of(values).of, false, block + fragment_layout(type).high, row);
  }
  pack_nibbles(nibbles_of(values).of, 0, block, row);
}

template <class Block>
void pack(WeightType type, const std::byte* source, std::byte* block, int row) {
  Block values;
  std::memcpy(&values, source, sizeof values);
  constexpr bool kMin = requires { values.min; };
  constexpr bool kHigh = requires { values.high; };
  std::memcpy(block + fragment_scale(type, row), &values.scale, sizeof values.scale);
  if constexpr (kMin) {
    std::memcpy(block + fragment_min(type, row), &values.min, sizeof values.min);
  }
  if constexpr (kHigh) {
    pack_high_bits(values.high, !kMin, block + fragment_layout(type).high, row);
  }
  if constexpr (sizeof values.quants == kBlockLen) {
    pack_words(values, block, row);
  } else {
    pack_nibbles(values.quants, kMin || kHigh ? 0 : 0x88888888u, block, row);
  }
}

}  // namespace

void pack_fragments(WeightType type, const std::byte* source, int in_super, std::byte* block,
                    int row) {
  switch (type) {
    case WeightType::kQ8_0:
      return pack<BlockQ8_0>(type, source, block, row);
    case WeightType::kQ4_0:
      return pack<BlockQ4_0>(type, source, block, row);
    case WeightType::kQ4_1:
      return pack<BlockQ4_1>(type, source, block, row);
    case WeightType::kQ5_0:
      return pack<BlockQ5_0>(type, source, block, row);
    case WeightType::kQ5_1:
      return pack<BlockQ5_1>(type, source, block, row);
    case WeightType::kQ4_K:
      return pack_k_quant<SuperQ4_K>(type, source, in_super, block, row);
    case WeightType::kQ5_K:
      return pack_k_quant<SuperQ5_K>(type, source, in_super, block, row);
    case WeightType::kQ6_K:
      return pack_k_quant<SuperQ6_K>(type, source, in_super, block, row);
    case WeightType::kF32:
    case WeightType::kF16:
    case WeightType::kBF16:
      break;
  }
  check_failed(__FILE__, __LINE__, "float types have no fragments", to_string(type));
}

}  // namespace lockstep
