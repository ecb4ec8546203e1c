// quant.h: the 32-value blocks of GGUF files, byte for byte. Little endian; scale and min are f16.
//   4-bit value k:      low nibble of quants[k] for k < 16, high nibble of quants[k - 16] above
//   5th bit of value k: bit k of `high`
#pragma once

#include <cstdint>

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
  return type == WeightType::kQ4_1 || type == WeightType::kQ5_1;
}
constexpr bool has_high_bits(WeightType type) {
  return type == WeightType::kQ5_0 || type == WeightType::kQ5_1;
}

// The number that is subtracted from the stored value of a type without a minimum. Q8_0 needs none:
// its values are stored signed.
constexpr int quant_offset(WeightType type) {
  return type == WeightType::kQ4_0 ? 8 : type == WeightType::kQ5_0 ? 16 : 0;
}

// Bytes of one value of a float type.
constexpr int64_t float_bytes(WeightType type) { return type == WeightType::kF32 ? 4 : 2; }

// Bytes of one 32-value block in a GGUF file.
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
    default:
      return kBlockLen * float_bytes(type);
  }
}

}  // namespace lockstep
