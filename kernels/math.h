// exp and log as docs/numerics.md section 3 defines them: every back end makes the same fused
// multiply-adds in the same order, so no bit depends on a libm. Maximum error: exp 1.01 ulp, log
// 0.83 ulp (math_test measures both over every float). The vector form of exp is in
// kernels/cpu/simd/simd_math.h.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace lockstep::reference {

// Rounds to the nearest integer, ties to even, for |x| < 2^22: floats of the sum's size have no
// fraction bits.
inline float rint_small(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

// 2^n for n in [-126, 127].
inline float power_of_two(float n) {
  return std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

inline float exp(float x) {
  if (x != x) return x;
  if (x < -87.0f) return 0.0f;
  if (x > 88.0f) return std::numeric_limits<float>::infinity();
  const float n = rint_small(x * 0x1.715476p+0f);  // 1 / ln 2
  float r = std::fma(n, -0x1.62e4p-1f, x);         // ln 2 in two parts; |r| <= ln 2 / 2
  r = std::fma(n, -0x1.7f7d1cp-20f, r);
  float p = 0x1.6a23cap-10f;  // p(r) ~ (e^r - 1 - r) / r^2
  p = std::fma(p, r, 0x1.123a2p-7f);
  p = std::fma(p, r, 0x1.5558f2p-5f);
  p = std::fma(p, r, 0x1.555492p-3f);
  p = std::fma(p, r, 0x1.fffffcp-2f);
  p = std::fma(p, r * r, r);
  return (p + 1.0f) * power_of_two(n);
}

// x must be positive, finite and normal.
inline float log(float x) {
  // m in [sqrt(1/2), sqrt(2)): 0x3f3504f3 is sqrt(1/2).
  const int32_t bits = std::bit_cast<int32_t>(x);
  const int32_t exponent = (bits - 0x3f3504f3) >> 23;
  const float e = static_cast<float>(exponent);
  const float m = std::bit_cast<float>(bits - (exponent << 23));
  const float f = m - 1.0f;
  const float s = f / (2.0f + f);  // log m = 2 s + s z q(z), z = s^2
  const float z = s * s;
  float q = 0x1.e2fdd2p-3f;
  q = std::fma(q, z, 0x1.2438a8p-2f);
  q = std::fma(q, z, 0x1.999a7cp-2f);
  q = std::fma(q, z, 0x1.555554p-1f);
  const float half_square = 0.5f * f * f;  // 2 s = f - (1 - s) f^2 / 2, which rounds less
  const float t = s * std::fma(q, z, half_square);
  const float u = std::fma(e, 0x1.7f7d1cp-20f, t);
  return std::fma(e, 0x1.62e4p-1f, f - (half_square - u));
}

}  // namespace lockstep::reference
