// Vector forms of kernels/math.h and of the sums of docs/numerics.md section 0, over any of the
// vector classes (Portable, Avx2, Avx512).
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cpu/simd/simd_portable.h"
#include "kernels/math.h"

namespace lockstep::simd {

// reference::exp in every element that is not above 88.
template <class S>
inline typename S::F exp_up_to_88(typename S::F x) {
  using F = typename S::F;
  const F n = S::rint_small(S::mul(x, S::set1(0x1.715476p+0f)));
  F r = S::fma(n, S::set1(-0x1.62e4p-1f), x);
  r = S::fma(n, S::set1(-0x1.7f7d1cp-20f), r);
  F p = S::set1(0x1.6a23cap-10f);
  p = S::fma(p, r, S::set1(0x1.123a2p-7f));
  p = S::fma(p, r, S::set1(0x1.5558f2p-5f));
  p = S::fma(p, r, S::set1(0x1.555492p-3f));
  p = S::fma(p, r, S::set1(0x1.fffffcp-2f));
  p = S::fma(p, S::mul(r, r), r);
  const F y = S::times_power_of_two(S::add(p, S::set1(1.0f)), n);  // NaN if x is
  return S::select(S::less(x, S::set1(-87.0f)), S::set1(0.0f), y);
}

// reference::exp in every element.
template <class S>
inline typename S::F exp(typename S::F x) {
  const auto y = exp_up_to_88<S>(x);
  const auto infinity = S::set1(std::numeric_limits<float>::infinity());
  return S::select(S::less(S::set1(88.0f), x), infinity, y);
}

// Loads up to kWidth values; the elements beyond n are +0.
template <class S>
inline typename S::F load_up_to(const float* p, int64_t n) {
  return n >= S::kWidth ? S::load(p) : S::load_n(p, n);
}

template <class S>
inline void store_up_to(float* p, typename S::F v, int64_t n) {
  if (n >= S::kWidth) {
    S::store(p, v);
  } else {
    S::store_n(p, v, n);
  }
}

template <>
inline float exp<Portable>(float x) {
  return reference::exp(x);
}
template <>
inline float exp_up_to_88<Portable>(float x) {
  return reference::exp(x);
}

inline constexpr int64_t kSumChunk = 1024;

// The sum of the values [begin, end) of one chunk of a strided sum.
template <class S, class Term>
inline float chunk_sum(int64_t begin, int64_t end, const Term& term) {
  constexpr int kWidth = S::kWidth;
  constexpr int kVecs = 32 / kWidth;
  typename S::F lanes[kVecs];
  for (auto& lane : lanes) lane = S::set1(0.0f);
  int64_t i = begin;
  for (; i + 32 <= end; i += 32) {
    for (int v = 0; v < kVecs; ++v) lanes[v] = term(lanes[v], i + v * kWidth, int64_t{kWidth});
  }
  for (int v = 0; v < kVecs && i < end; ++v, i += kWidth) {
    const int64_t n_valid = end - i < kWidth ? end - i : kWidth;
    lanes[v] = term(lanes[v], i, n_valid);
  }
  return S::tree32(lanes);
}

// The strided sum over [0, n). lanes = term(lanes, i, n_valid) adds the values from i on, of which
// n_valid exist, to one vector of lanes and leaves the lanes beyond them as they are.
template <class S, class Term>
inline float strided_sum(int64_t n, const Term& term) {
  // The tree of neighbours over the chunks, as their sums arrive: sums[i] is that of 2^i chunks,
  // and exists where n_chunks has bit i. Shorter trees at the end join the longer ones before them.
  float sums[40];
  uint64_t n_chunks = 0;
  int64_t begin = 0;
  for (; n - begin > kSumChunk; begin += kSumChunk) {
    float sum = chunk_sum<S>(begin, begin + kSumChunk, term);
    int level = 0;
    for (; (n_chunks >> level & 1) != 0; ++level) sum = sums[level] + sum;
    sums[level] = sum;
    ++n_chunks;
  }
  float sum = chunk_sum<S>(begin, n, term);
  for (int level = 0; n_chunks >> level != 0; ++level) {
    if ((n_chunks >> level & 1) != 0) sum = sums[level] + sum;
  }
  return sum;
}

}  // namespace lockstep::simd
