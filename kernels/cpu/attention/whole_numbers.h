// Rounding to whole numbers with one f32 scale, over any of the vector classes: "whole numbers of n
// values" in docs/numerics.md section 4. kernels/kv_layout.h has the scalar form.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cpu/simd/simd_math.h"

namespace lockstep::simd {

inline constexpr int kMaxWholeNumbers = 256;
inline constexpr float kLeastScaled = 0x1p-96f;  // anything below counts as 0

template <class S>
inline typename S::F rint_below_2_22(typename S::F x) {
  const auto magic = S::set1(0x1.8p23f);
  return S::sub(S::add(x, magic), magic);
}

// Rounds n <= kMaxWholeNumbers values to whole numbers of magnitude <= q_max and returns their
// scale.
template <class S>
inline float quantize_whole(const float* x, int n, float q_max, int16_t* q) {
  auto largest = S::set1(0.0f);
  uint32_t not_finite = 0;
  for (int i = 0; i < n; i += S::kWidth) {
    const auto v = load_up_to<S>(x + i, n - i);
    not_finite |= S::bits(S::not_finite(v));
    largest = S::max(S::max(v, S::negate(v)), largest);
  }
  const float amax = S::max_element(largest);
  if (not_finite != 0 || amax < kLeastScaled) {
    for (int i = 0; i < n; ++i) q[i] = 0;
    return not_finite != 0 ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
  }
  const auto inverse = S::set1(q_max / amax);
  float rounded[kMaxWholeNumbers];
  for (int i = 0; i < n; i += S::kWidth) {
    const auto v = load_up_to<S>(x + i, n - i);
    store_up_to<S>(rounded + i, rint_below_2_22<S>(S::mul(v, inverse)), n - i);
  }
  for (int i = 0; i < n; ++i) q[i] = static_cast<int16_t>(rounded[i]);
  return amax / q_max;
}

}  // namespace lockstep::simd
