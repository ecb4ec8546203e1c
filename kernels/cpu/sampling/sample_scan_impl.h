// The passes of sample_scan.h over any of the vector classes.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cpu/sampling/sample_scan.h"
#include "kernels/cpu/simd/simd_math.h"

namespace lockstep::simd {

template <class S>
struct Scan {
  using F = typename S::F;
  static constexpr int kWidth = S::kWidth;
  static constexpr int kUnroll = 4;  // vectors in flight, to hide the latency of max
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  // load_up_to, with -Inf in the elements beyond the row.
  static F load_low(const float* z, int64_t n) {
    if (n >= kWidth) return S::load(z);
    return S::select(S::mask(0, static_cast<int>(n)), S::load_n(z, n), S::set1(-kInfinity));
  }

  static float max(const float* z, int64_t n) {
    F largest[kUnroll];
    for (F& v : largest) v = S::set1(-kInfinity);
    int64_t i = 0;
    for (; i + kUnroll * kWidth <= n; i += kUnroll * kWidth) {
      for (int v = 0; v < kUnroll; ++v)
        largest[v] = S::max(S::load(z + i + v * kWidth), largest[v]);
    }
    for (; i < n; i += kWidth) largest[0] = S::max(load_low(z + i, n - i), largest[0]);
    for (int v = 1; v < kUnroll; ++v) largest[0] = S::max(largest[v], largest[0]);
    return S::max_element(largest[0]);
  }

  static float finite_max(const float* z, int64_t n) {
    F largest[kUnroll];
    typename S::M bad[kUnroll];
    for (int v = 0; v < kUnroll; ++v) {
      largest[v] = S::set1(-kInfinity);
      bad[v] = S::mask(0, 0);
    }
    int64_t i = 0;
    for (; i + kUnroll * kWidth <= n; i += kUnroll * kWidth) {
      for (int v = 0; v < kUnroll; ++v) {
        const F x = S::load(z + i + v * kWidth);
        bad[v] = S::either(bad[v], S::not_finite(x));
        largest[v] = S::max(x, largest[v]);
      }
    }
    for (; i < n; i += kWidth) {
      bad[0] = S::either(bad[0], S::not_finite(load_up_to<S>(z + i, n - i)));
      largest[0] = S::max(load_low(z + i, n - i), largest[0]);
    }
    for (int v = 1; v < kUnroll; ++v) {
      bad[0] = S::either(bad[0], bad[v]);
      largest[0] = S::max(largest[v], largest[0]);
    }
    if (S::bits(bad[0]) != 0) return std::numeric_limits<float>::quiet_NaN();
    return S::max_element(largest[0]);
  }

  static int64_t find(const float* z, int64_t n, float value) {
    const F wanted = S::set1(value);
    int64_t i = 0;
    for (; i + kUnroll * kWidth <= n; i += kUnroll * kWidth) {
      typename S::M any = S::equal(S::load(z + i), wanted);
      for (int v = 1; v < kUnroll; ++v) {
        any = S::either(any, S::equal(S::load(z + i + v * kWidth), wanted));
      }
      if (S::bits(any) != 0) break;
    }
    while (i < n && z[i] != value) ++i;
    return i;
  }

  static float sum_exp(const float* z, int64_t n, float max) {
    const F top = S::set1(max);
    return strided_sum<S>(n, [&](F lane, int64_t i, int64_t n_valid) {
      return S::add(lane, exp<S>(S::sub(load_low(z + i, n_valid), top)));
    });
  }

  static F weight(F z, const SampleWeights& w) {
    const F x = S::div(S::sub(z, S::set1(w.top)), S::set1(w.temperature));
    return S::select(S::greater_equal(x, S::set1(w.least_x)), exp<S>(x), S::set1(0.0f));
  }

  static float sum_weights(const float* z, int64_t n, const SampleWeights& weights) {
    return strided_sum<S>(n, [&](F lane, int64_t i, int64_t n_valid) {
      return S::add(lane, weight(load_low(z + i, n_valid), weights));
    });
  }

  static void weigh(const float* z, int64_t n, const SampleWeights& weights, float* p) {
    for (int64_t i = 0; i < n; i += kWidth) {
      store_up_to<S>(p + i, weight(load_low(z + i, n - i), weights), n - i);
    }
  }

  static int64_t gather(const float* z, int64_t n, float low, float high, int32_t first_id,
                        uint64_t* keys) {
    const F lowest = S::set1(low);
    const F limit = S::set1(high);
    int64_t n_keys = 0;
    for (int64_t i = 0; i < n; i += kWidth) {
      const F x = load_low(z + i, n - i);
      uint32_t hits = S::bits(S::both(S::greater_equal(x, lowest), S::less(x, limit)));
      for (; hits != 0; hits &= hits - 1) {
        const int64_t at = i + __builtin_ctz(hits);
        keys[n_keys++] = sort_key(z[at], first_id + static_cast<int32_t>(at));
      }
    }
    return n_keys;
  }

  // Adding +0 turns -0 into +0. The bits of a float grow with its value if the sign bit of positive
  // values and all bits of negative values are flipped; the key has the opposite order.
  static uint64_t sort_key(float z, int32_t id) {
    const float canonical = z + 0.0f;
    uint32_t bits = 0;
    __builtin_memcpy(&bits, &canonical, sizeof(bits));
    const uint32_t descending = bits >> 31 != 0 ? bits : ~bits & 0x7fffffffu;
    return uint64_t{descending} << 32 | static_cast<uint32_t>(id);
  }

  static constexpr SampleScan table() {
    return {finite_max, max, find, sum_exp, sum_weights, weigh, gather};
  }
};

}  // namespace lockstep::simd
