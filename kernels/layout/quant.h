// quant.h: what a weight type stores, and the 32-value blocks of GGUF files, byte for byte. Little
// endian; scale and min are f16. The super-blocks of K-quants are in k_quants.h.
//   4-bit value k:      low nibble of quants[k] for k < 16, high nibble of quants[k - 16] above
//   5th bit of value k: bit k of `high`
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/layout/k_quants.h"
#include "kernels/layout/packed_weights.h"

namespace lockstep {

struct BlockQ8_0 {  // scale * q
  uint16_t scale;
  int8_t quants[32];
};
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 2);

struct BlockQ4_0 {  // scale * (q - 8)
  uint16_t scale;
  uint8_t quants[16];
};
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 2);

struct BlockQ4_1 {  // scale * q + min
  uint16_t scale;
  uint16_t min;
  uint8_t quants[16];
};
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 2);

struct BlockQ5_0 {  // scale * (q - 16)
  uint16_t scale;
  uint8_t high[4];
  uint8_t quants[16];
};
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 2);

struct BlockQ5_1 {  // scale * q + min
  uint16_t scale;
  uint16_t min;
  uint8_t high[4];
  uint8_t quants[16];
};
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 2);

constexpr bool has_min(WeightType type) {
  return type == WeightType::kQ4_1 || type == WeightType::kQ5_1 || type == WeightType::kQ4_K ||
         type == WeightType::kQ5_K;
}

// Bits of a stored value above the nibble; 0 for Q8_0, whose bytes are whole.
constexpr int n_high_bits(WeightType type) {
  if (type == WeightType::kQ6_K) return 2;
  return type == WeightType::kQ5_0 || type == WeightType::kQ5_1 || type == WeightType::kQ5_K;
}

// The number that is subtracted from the stored value of a type without a minimum. Q8_0 needs none:
// its values are stored signed.
constexpr int quant_offset(WeightType type) {
  if (type == WeightType::kQ6_K) return 32;
  return type == WeightType::kQ4_0 ? 8 : type == WeightType::kQ5_0 ? 16 : 0;
}

// Bytes of one value of a float type.
constexpr int64_t float_bytes(WeightType type) { return type == WeightType::kF32 ? 4 : 2; }

// Values of one block in a GGUF file, which is a super-block for K-quants.
constexpr int64_t source_block_len(WeightType type) {
  return is_k_quant(type) ? kSuperLen : kBlockLen;
}

// Bytes of such a block.
constexpr int64_t source_block_bytes(WeightType type) {
  switch (type) {
    case WeightType::kQ8_0:
      return sizeof(BlockQ8_0);
    case WeightType::kQ4_0:
      return sizeof(BlockQ4_0);
    case WeightType::kQ4_1:
      return sizeof(BlockQ4_1);
    case WeightType::kQ5_0:
      return sizeof(BlockQ5_0);
    case WeightType::kQ5_1:
      return sizeof(BlockQ5_1);
    case WeightType::kQ4_K:
      return sizeof(SuperQ4_K);
    case WeightType::kQ5_K:
      return sizeof(SuperQ5_K);
    case WeightType::kQ6_K:
      return sizeof(SuperQ6_K);
    default:
      return kBlockLen * float_bytes(type);
  }
}

// The byte offset, in such a block, of the f16 that scales all of it: the scale, or d of a K-quant.
// The minimum, or dmin, follows it if the type has one.
constexpr int64_t source_scale_offset(WeightType type) {
  return type == WeightType::kQ6_K ? static_cast<int64_t>(offsetof(SuperQ6_K, d)) : 0;
}

}  // namespace lockstep
