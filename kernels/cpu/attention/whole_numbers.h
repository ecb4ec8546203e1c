// Rounding to whole numbers with one f32 scale, over any of the vector classes: "whole numbers of n
// values" in docs/numerics.md section 4. kernels/kv_layout.h has the scalar form.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cpu/simd/simd_math.h"

namespace lockstep::simd {

inline constexpr float kLeastScaled = 0x1p-96f;  // anything below counts as 0

// Rounds n values to whole numbers of magnitude <= q_max and returns their scale.
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
  int i = 0;
  for (; i + S::kWidth <= n; i += S::kWidth) {
    S::store_rounded(q + i, S::mul(S::load(x + i), inverse));
  }
  if (i < n) {
    int16_t rest[S::kWidth];
    S::store_rounded(rest, S::mul(S::load_n(x + i, n - i), inverse));
    for (int j = 0; i + j < n; ++j) q[i + j] = rest[j];
  }
  return amax / q_max;
}

}  // namespace lockstep::simd
