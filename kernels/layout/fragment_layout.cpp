#include "kernels/layout/fragment_layout.h"

#include <cstring>

#include "common/check.h"
#include "kernels/layout/quant.h"

namespace lockstep {
namespace {

constexpr int kQuarters = 4;  // of a block's 32 values; each belongs to one warp lane

void pack_words(const BlockQ8_0& source, std::byte* block, int row) {
  for (int k = 0; k < kBlockLen; k += 4) {
    const int word = 4 * fragment_lane(row, k) + fragment_word(row, k);
    std::memcpy(block + 4 * word, source.quants + k, 4);
  }
}

// flip: the bits that turn a nibble into a two's complement, in all nibbles of a word.
void pack_nibbles(const uint8_t (&quants)[16], uint32_t flip, std::byte* block, int row) {
  for (int t = 0; t < kQuarters; ++t) {
    uint64_t eight = 0;  // the file has k in the low and k + 16 in the high nibbles
    std::memcpy(&eight, quants + t % 2 * 8, sizeof eight);
    eight = eight >> t / 2 * 4 & 0x0f0f0f0f0f0f0f0fu;
    const auto word = static_cast<uint32_t>(eight | eight >> 28) ^ flip;
    std::memcpy(block + 8 * fragment_lane(row, 8 * t) + row / 8 * 4, &word, sizeof word);
  }
}

void pack_high_bits(const uint8_t (&source)[4], bool flip, std::byte* high, int row) {
  for (int t = 0; t < kQuarters; ++t) {
    std::byte* place = high + 2 * fragment_lane(row, 8 * t);
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

void pack_fragments(WeightType type, const std::byte* source, std::byte* block, int row) {
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
    case WeightType::kF32:
    case WeightType::kF16:
    case WeightType::kBF16:
      break;
  }
  check_failed(__FILE__, __LINE__, "float types have no fragments", to_string(type));
}

}  // namespace lockstep
