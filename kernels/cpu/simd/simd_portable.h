// Portable: the vector class of kernels/cpu with one element, for machines without AVX2. The ops
// are templates over such a class (simd_avx2.h and simd_avx512.h have more elements). With one
// element, the loops below need no tails and no masks.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/layout/fp16.h"
#include "kernels/math.h"

namespace lockstep::simd {

struct Portable {
  using F = float;
  using M = bool;  // one bit per element
  static constexpr int kWidth = 1;
  static constexpr int kTileVecs = 1;  // vectors of keys or dims that attention keeps in registers

  static F load(const float* p) { return *p; }
  static void store(float* p, F v) { *p = v; }
  static F load_n(const float* p, int64_t) { return *p; }  // elements beyond n are +0
  static void store_n(float* p, F v, int64_t) { *p = v; }
  static F set1(float v) { return v; }
  static F load_f16(const uint16_t* p) { return f16_to_f32(*p); }
  static F load_bf16(const uint16_t* p) { return bf16_to_f32(*p); }
  static F load_i8(const int8_t* p) { return static_cast<float>(*p); }
  static void store_f16(uint16_t* p, F v) { *p = f32_to_f16(v); }
  static void store_bf16(uint16_t* p, F v) { *p = f32_to_bf16(v); }

  // 32-bit whole numbers, and pairs of 16-bit ones in their place.
  using I = int32_t;
  static I zero_int() { return 0; }
  static I load_pairs(const int16_t* p) {
    I pairs;
    std::memcpy(&pairs, p, sizeof pairs);
    return pairs;
  }
  static I set1_pair(const int16_t* p) { return load_pairs(p); }  // the same pair in each element
  // sum + a.first * b.first + a.second * b.second, modulo 2^32.
  static I add_products(I a, I b, I sum) {
    const auto first = static_cast<uint32_t>(static_cast<int16_t>(a) * static_cast<int16_t>(b));
    const auto second = static_cast<uint32_t>((a >> 16) * (b >> 16));
    return static_cast<I>(static_cast<uint32_t>(sum) + first + second);
  }
  static F to_float(I v) { return static_cast<float>(v); }
  // Rounds to nearest, ties to even; |v| < 2^15.
  static void store_rounded(int16_t* p, F v) {
    *p = static_cast<int16_t>(reference::rint_small(v));
  }
  // Writes (a[0], b[0]), (a[1], b[1]), …: kWidth pairs.
  static void interleave(const int8_t* a, const int8_t* b, int16_t* pairs) {
    pairs[0] = *a;  // NOLINT(bugprone-signed-char-misuse): a number
    pairs[1] = *b;  // NOLINT(bugprone-signed-char-misuse)
  }
  static void interleave(const int16_t* a, const int16_t* b, int16_t* pairs) {
    pairs[0] = *a;
    pairs[1] = *b;
  }

  static F add(F a, F b) { return a + b; }
  static F sub(F a, F b) { return a - b; }
  static F mul(F a, F b) { return a * b; }
  static F div(F a, F b) { return a / b; }
  static F fma(F a, F b, F c) { return std::fma(a, b, c); }
  static F max(F a, F b) { return a > b ? a : b; }  // b if either is NaN
  static F negate(F a) { return -a; }

  static M less(F a, F b) { return a < b; }
  static M greater_equal(F a, F b) { return a >= b; }
  static M equal(F a, F b) { return a == b; }
  static M is_nan(F a) { return a != a; }
  static M not_finite(F a) { return !(std::fabs(a) <= 0x1.fffffep127f); }
  static M mask(int lo, int hi) { return lo <= 0 && 0 < hi; }  // element i is set if lo <= i < hi
  static M both(M a, M b) { return a && b; }
  static M either(M a, M b) { return a || b; }
  static uint32_t bits(M m) { return m ? 1u : 0u; }
  static F select(M m, F a, F b) { return m ? a : b; }

  static float max_element(F v) { return v; }
  // The tree of neighbours over 32 values.
  static float tree32(const F (&v)[32]) {
    float sums[32];
    for (int i = 0; i < 32; ++i) sums[i] = v[i];
    for (int n = 16; n >= 1; n /= 2) {
      for (int i = 0; i < n; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];
    }
    return sums[0];
  }
  // Rotates neighbouring pairs (a, b) of 2 * kWidth values by (cos, sin) pairs.
  static void rotate_pairs(float* x, const float* cos_sin) {
    const float a = x[0], b = x[1], c = cos_sin[0], s = cos_sin[1];
    x[0] = std::fma(a, c, -(b * s));
    x[1] = std::fma(b, c, a * s);
  }
};

}  // namespace lockstep::simd
