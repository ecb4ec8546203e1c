// Float weights on any instruction set: V is a class of simd_*.h. One element is one row. Each row
// and token is one chain of fma over k; several tokens run side by side to hide its latency.
#pragma once

#include "kernels/cpu/linear/linear_panel.h"
#include "kernels/layout/packed_layout.h"

namespace lockstep {

template <class V, WeightType kType, int kTokens>
struct FloatGroup {
  static constexpr int kVecs = kPanelRows / V::kWidth;
  static constexpr int64_t kValueBytes = float_bytes(kType);

  struct Sum {
    typename V::F of[kVecs][kTokens];
  };

  const PanelJob& job;
  int64_t first_token;

  [[gnu::always_inline]] static typename V::F load(const std::byte* value) {
    if constexpr (kType == WeightType::kF32) {
      return V::load(reinterpret_cast<const float*>(value));
    } else if constexpr (kType == WeightType::kF16) {
      return V::load_f16(reinterpret_cast<const uint16_t*>(value));
    } else {
      return V::load_bf16(reinterpret_cast<const uint16_t*>(value));
    }
  }

  // Every block but the last of a leaf is full, so the number of a block gives its first value.
  [[gnu::always_inline]] const std::byte* add_block(const std::byte* weights, int64_t block,
                                                    int n_values, Sum& sum) const {
    const int64_t short_by = block / job.n_blocks * (kBlockLen - job.last_len);
    const float* x = job.x + first_token * job.x_stride + block * kBlockLen - short_by;
    Sum acc = sum;
    for (int k = 0; k < n_values; ++k, weights += kPanelRows * kValueBytes) {
      for (int v = 0; v < kVecs; ++v) {
        const typename V::F w = load(weights + v * V::kWidth * kValueBytes);
        for (int t = 0; t < kTokens; ++t) {
          acc.of[v][t] = V::fma(w, V::set1(x[t * job.x_stride + k]), acc.of[v][t]);
        }
      }
    }
    sum = acc;
    return weights;
  }

  [[gnu::always_inline]] static void join(const Sum& left, Sum& sum) {
    for (int v = 0; v < kVecs; ++v) {
      for (int t = 0; t < kTokens; ++t) sum.of[v][t] = V::add(left.of[v][t], sum.of[v][t]);
    }
  }
};

template <class V, WeightType kType, int kTokens>
void sum_float_group(const PanelJob& job, int64_t first_token) {
  using Group = FloatGroup<V, kType, kTokens>;
  const auto sum = sum_segments(job, Group{job, first_token});
  for (int t = 0; t < kTokens; ++t) {
    float y[kPanelRows];
    for (int v = 0; v < Group::kVecs; ++v) V::store(y + v * V::kWidth, sum.of[v][t]);
    float* out = job.out + (first_token + t) * job.out_stride;
    for (int row = 0; row < job.n_rows; ++row) {
      out[row] = job.bias != nullptr ? y[row] + job.bias[row] : y[row];
    }
  }
}

// kMostTokens: 8 where the sums of 16 rows and 8 tokens fit the registers, else 4.
template <class V, WeightType kType, int kMostTokens>
void sum_float_panel(const PanelJob& job) {
  for_each_group(job.n_tokens, kMostTokens, [&](int64_t first, int64_t n) {
    if (n == 1) return sum_float_group<V, kType, 1>(job, first);
    if (n == 2) return sum_float_group<V, kType, 2>(job, first);
    if (n == kMostTokens) return sum_float_group<V, kType, kMostTokens>(job, first);
    for_each_group(n, 4, [&](int64_t more, int64_t n_more) {
      if (n_more == 4) return sum_float_group<V, kType, 4>(job, first + more);
      if (n_more == 3) return sum_float_group<V, kType, 3>(job, first + more);
      sum_float_group<V, kType, 2>(job, first + more);
    });
  });
}

template <class V, int kMostTokens>
PanelKernel float_panel_kernel(WeightType type) {
  switch (type) {
    case WeightType::kF32:
      return sum_float_panel<V, WeightType::kF32, kMostTokens>;
    case WeightType::kF16:
      return sum_float_panel<V, WeightType::kF16, kMostTokens>;
    case WeightType::kBF16:
      return sum_float_panel<V, WeightType::kBF16, kMostTokens>;
    default:
      return nullptr;
  }
}

}  // namespace lockstep
