// Whole numbers ±Q with an f32 scale on the device (docs/numerics.md section 4, item 7), and their
// forms in tensor cores: an f16 holds whole numbers up to 2048 exactly, so wider ones are split,
//   K = 256 * high + low, high in -128 … 127, low in 0 … 255
//   V of 16 bits = 128 * high + low, high in -128 … 127, low in 0 … 127
// and the products of each part, of at most 64 of them, add up to less than 2^24.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device_math.cuh"
#ifndef __CUDACC__
#include "kernels/layout/fp16.h"
#endif

namespace lockstep::cuda {

// The scale of numbers of largest magnitude amax (NaN if one is not finite), and the factor that
// turns them into whole numbers: 0 if all of these are 0.
struct WholeScale {
  float scale, inverse;
};
__device__ inline WholeScale whole_scale(float amax, float q_max) {
  if (!(amax <= 0x1.fffffep127f)) return {__int_as_float(0x7fc00000), 0.0f};
  if (amax < 0x1p-96f) return {0.0f, 0.0f};
  return {amax / q_max, q_max / amax};
}
// Of x, which is finite unless the inverse is 0.
__device__ inline int whole_number(float x, float inverse) {
  return inverse == 0.0f ? 0 : static_cast<int>(rintf(x * inverse));
}

// Bytes of `a` (0 to 3) and `b` (4 to 7); nibble i of the selector chooses byte i.
__device__ __forceinline__ uint32_t choose_bytes(uint32_t a, uint32_t b, uint32_t selector) {
#ifdef __CUDACC__
  return __byte_perm(a, b, selector);
#else
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t chosen = 0;
  for (int i = 0; i < 4; ++i) {
    chosen |= static_cast<uint32_t>(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
  }
  return chosen;
#endif
}

// Both halves of a less those of b.
__device__ __forceinline__ uint32_t subtract_halves(uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  uint32_t difference;
  asm("sub.f16x2 %0, %1, %2;" : "=r"(difference) : "r"(a), "r"(b));
  return difference;
#else
  const auto half = [&](int shift) {
    const float x = f16_to_f32(static_cast<uint16_t>(a >> shift));
    const float y = f16_to_f32(static_cast<uint16_t>(b >> shift));
    return uint32_t{f32_to_f16(x - y)} << shift;
  };
  return half(0) | half(16);
#endif
}

// f16 0x6400 + n is the number 1024 + n, n in 0 … 1023.
inline constexpr uint32_t kExponents = 0x64646464u;
inline constexpr uint32_t kBias0 = 0x64006400u;    // two halves of 1024
inline constexpr uint32_t kBias128 = 0x64806480u;  // of 1024 + 128

// Two whole numbers as halves, one part each.
struct SplitPair {
  uint32_t high, low;
};

// Of two 16-bit keys.
__device__ __forceinline__ SplitPair split_keys(uint32_t keys) {
  const uint32_t high = choose_bytes(keys ^ 0x80008000u, kExponents, 0x4341);
  const uint32_t low = choose_bytes(keys, kExponents, 0x4240);
  return {subtract_halves(high, kBias128), subtract_halves(low, kBias0)};
}
// Of two 16-bit values of magnitude <= 16383.
__device__ __forceinline__ SplitPair split_values(uint32_t values) {
  const uint32_t high = ((values >> 7 & 0x00ff00ffu) ^ 0x00800080u) | kBias0;
  const uint32_t low = (values & 0x007f007fu) | kBias0;
  return {subtract_halves(high, kBias128), subtract_halves(low, kBias0)};
}
// Bytes 0 and 1, or 2 and 3, of four 8-bit values as halves.
template <int kFirst>
__device__ __forceinline__ uint32_t halves_of_bytes(uint32_t bytes) {
  const uint32_t biased = bytes ^ 0x80808080u;
  return subtract_halves(choose_bytes(biased, kExponents, kFirst == 0 ? 0x4140 : 0x4342), kBias128);
}

}  // namespace lockstep::cuda
