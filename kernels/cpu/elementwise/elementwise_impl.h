// norm_row, silu_row and finite_row over any of the vector classes.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cpu/elementwise/elementwise.h"
#include "kernels/cpu/simd/simd_math.h"

namespace lockstep::simd {

template <class S>
inline void norm_row(const float* x, const float* weight, int64_t n, float eps, float* y) {
  // Elements beyond the row are +0. Adding their squares changes no lane, since no lane is -0.
  const float squares = strided_sum<S>(n, [x](typename S::F lane, int64_t i, int64_t n_valid) {
    const auto v = load_up_to<S>(x + i, n_valid);
    return S::fma(v, v, lane);
  });
  const auto r = S::set1(1.0f / __builtin_sqrtf(squares / static_cast<float>(n) + eps));
  for (int64_t i = 0; i < n; i += S::kWidth) {
    const auto scaled = S::mul(load_up_to<S>(x + i, n - i), r);
    store_up_to<S>(y + i, S::mul(scaled, load_up_to<S>(weight + i, n - i)), n - i);
  }
}

template <class S>
inline void silu_row(const float* gate, const float* up, int64_t n, float* y) {
  const auto one = S::set1(1.0f);
  for (int64_t i = 0; i < n; i += S::kWidth) {
    const auto g = load_up_to<S>(gate + i, n - i);
    const auto silu = S::div(g, S::add(one, exp<S>(S::negate(g))));
    store_up_to<S>(y + i, S::mul(silu, load_up_to<S>(up + i, n - i)), n - i);
  }
}

template <class S>
inline bool finite_row(const float* x, int64_t n, float limit) {
  constexpr uint32_t kAll = (uint32_t{1} << S::kWidth) - 1;
  const auto above = S::set1(limit);
  auto good = S::less(S::set1(0.0f), above);
  for (int64_t i = 0; i < n; i += S::kWidth) {
    const auto v = load_up_to<S>(x + i, n - i);
    good = S::both(good, S::both(S::less(v, above), S::less(S::negate(v), above)));
  }
  return S::bits(good) == kAll;
}

}  // namespace lockstep::simd
