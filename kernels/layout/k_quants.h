// k_quants.h: the super-blocks of K-quants in GGUF files, byte for byte: 256 values, which are 8
// blocks of 32 (docs/numerics.md section 2). Little endian; d and dmin are f16.
//
//   Q4_K, Q5_K  value k of block b is (d * sc[b]) * q - dmin * m[b]
//     q         bits 0-3: a nibble of quants[32 * (b / 2) + k], low if b is even, else high
//               bit 4 (Q5_K): bit b of high[k]
//     sc, m     6 bits each. With s = scales, b < 4:  sc[b] = s[b] & 63,  m[b] = s[b + 4] & 63
//               and sc[b + 4] has the low nibble of s[b + 8] and above it the top two bits of s[b],
//               m[b + 4] the high nibble of s[b + 8] and above it the top two bits of s[b + 4]
//   Q6_K        value k of block b is (d * scales[2 * b + k / 16]) * (q - 32)
//     q         with h = b / 4, c = b % 4:
//               bits 0-3: a nibble of low[64 * h + 32 * (c % 2) + k], low if c < 2, else high
//               bits 4-5: bits 2c and 2c + 1 of high[32 * h + k]
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/layout/leaves.h"

namespace lockstep {

inline constexpr int kBlocksPerSuper = 8;
inline constexpr int kSuperLen = kBlocksPerSuper * kBlockLen;  // values of a super-block

struct SuperQ4_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t quants[128];
};
static_assert(sizeof(SuperQ4_K) == 144 && alignof(SuperQ4_K) == 2);

struct SuperQ5_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t high[32];
  uint8_t quants[128];
};
static_assert(sizeof(SuperQ5_K) == 176 && alignof(SuperQ5_K) == 2);

struct SuperQ6_K {
  uint8_t low[128];
  uint8_t high[64];
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(SuperQ6_K) == 210 && alignof(SuperQ6_K) == 2);

// One of the 8 blocks, taken out of its super-block.
struct BlockOfSuper {
  uint8_t scales[2];     // sc and m; Q6_K: the int8 scales of values 0-15 and of values 16-31
  uint8_t q[kBlockLen];  // unsigned, as stored
};

// Nibbles and fifth bits in the order of the 32-value blocks of quant.h, whose packers take them.
struct Nibbles {
  uint8_t of[kBlockLen / 2];  // k in the low and k + 16 in the high nibbles
};
inline Nibbles nibbles_of(const BlockOfSuper& block) {
  Nibbles nibbles;
  for (int k = 0; k < kBlockLen / 2; ++k) {
    nibbles.of[k] = static_cast<uint8_t>((block.q[k] & 15) | block.q[k + kBlockLen / 2] << 4);
  }
  return nibbles;
}
struct FifthBits {
  uint8_t of[kBlockLen / 8] = {};  // bit k of them all
};
inline FifthBits fifth_bits_of(const BlockOfSuper& block) {
  FifthBits bits;
  for (int k = 0; k < kBlockLen; ++k) {
    bits.of[k / 8] = static_cast<uint8_t>(bits.of[k / 8] | (block.q[k] >> 4 & 1) << k % 8);
  }
  return bits;
}

template <class Super>
BlockOfSuper block_of(const Super& super, int b) {
  BlockOfSuper block;
  if constexpr (requires { super.low; }) {
    const int half = b / 4, c = b % 4;
    const uint8_t* low = super.low + 64 * half + 32 * (c % 2);
    const uint8_t* high = super.high + 32 * half;
    for (int k = 0; k < kBlockLen; ++k) {
      block.q[k] = static_cast<uint8_t>((low[k] >> c / 2 * 4 & 15) | (high[k] >> 2 * c & 3) << 4);
    }
    for (int i = 0; i < 2; ++i) block.scales[i] = static_cast<uint8_t>(super.scales[2 * b + i]);
  } else {
    const uint8_t* quants = super.quants + 32 * (b / 2);
    for (int k = 0; k < kBlockLen; ++k) block.q[k] = quants[k] >> b % 2 * 4 & 15;
    if constexpr (requires { super.high; }) {
      for (int k = 0; k < kBlockLen; ++k) {
        block.q[k] = static_cast<uint8_t>(block.q[k] | (super.high[k] >> b & 1) << 4);
      }
    }
    const uint8_t* s = super.scales + b % 4;
    for (int i = 0; i < 2; ++i, s += 4) {
      const uint8_t both = super.scales[8 + b % 4];
      block.scales[i] = static_cast<uint8_t>(b < 4 ? *s & 63 : (both >> 4 * i & 15) | *s >> 6 << 4);
    }
  }
  return block;
}

}  // namespace lockstep
