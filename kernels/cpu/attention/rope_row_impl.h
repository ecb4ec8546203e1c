// The loops of rope_row.h over any of the vector classes.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/rope_row.h"
#include "kernels/cpu/attention/whole_numbers.h"
#include "kernels/cpu/simd/simd_math.h"

namespace lockstep::simd {

template <class S>
inline void rotate_neighbours(float* x, const float* cos_sin, int64_t n_pairs) {
  constexpr int kPairs = S::kWidth;
  int64_t i = 0;
  for (; i + kPairs <= n_pairs; i += kPairs) S::rotate_pairs(x + 2 * i, cos_sin + 2 * i);
  if (i == n_pairs) return;
  float values[2 * kPairs] = {};
  float angles[2 * kPairs] = {};
  for (int64_t j = 2 * i; j < 2 * n_pairs; ++j) {
    values[j - 2 * i] = x[j];
    angles[j - 2 * i] = cos_sin[j];
  }
  S::rotate_pairs(values, angles);
  for (int64_t j = 2 * i; j < 2 * n_pairs; ++j) x[j] = values[j - 2 * i];
}

template <class S>
inline void rotate_halves(float* x, const float* cos, const float* sin, int64_t n_pairs) {
  for (int64_t i = 0; i < n_pairs; i += S::kWidth) {
    const int64_t n = n_pairs - i;
    const auto a = load_up_to<S>(x + i, n);
    const auto b = load_up_to<S>(x + n_pairs + i, n);
    const auto c = load_up_to<S>(cos + i, n);
    const auto s = load_up_to<S>(sin + i, n);
    store_up_to<S>(x + i, S::fma(a, c, S::negate(S::mul(b, s))), n);
    store_up_to<S>(x + n_pairs + i, S::fma(b, c, S::mul(a, s)), n);
  }
}

template <class S>
inline void round_vector(typename S::F v, KvType type, uint16_t* rounded) {
  if (type == KvType::kF16) {
    S::store_f16(rounded, v);
  } else {
    S::store_bf16(rounded, v);
  }
}

template <class S>
inline void round_row(const float* x, int64_t n, KvType type, uint16_t* rounded) {
  int64_t i = 0;
  for (; i + S::kWidth <= n; i += S::kWidth) round_vector<S>(S::load(x + i), type, rounded + i);
  if (i == n) return;
  uint16_t rest[S::kWidth];
  round_vector<S>(S::load_n(x + i, n - i), type, rest);
  for (int64_t j = i; j < n; ++j) rounded[j] = rest[j - i];
}

}  // namespace lockstep::simd
