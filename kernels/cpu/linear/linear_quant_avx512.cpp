// Quantised weights, AVX-512 VNNI: one zmm register is 16 rows of four k; vpdpbusd adds their
// products to the int32 sums of the 16 rows. Weights are made unsigned by adding an offset; the
// integer sum starts at -offset * q_sum, so it is exact. Eight tokens share unpacked weights.
#include <immintrin.h>

#include "kernels/cpu/linear/linear_panel.h"
#include "kernels/layout/packed_layout.h"

namespace lockstep {
namespace {

constexpr int kMaxTokens = 8;
constexpr int64_t kPrefetchBytes = 4096;  // ahead of the current block

[[gnu::always_inline]] inline __m512i load(const std::byte* p) { return _mm512_loadu_si512(p); }

// Loads the f16 values of 16 rows, widened.
[[gnu::always_inline]] inline __m512 load_f16(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// Unpacks the eight words of each row (k = 4g … 4g + 3) to unsigned bytes.
template <WeightType kType>
[[gnu::always_inline]] inline void unpack(const std::byte* block, __m512i (&words)[8]) {
  constexpr BlockLayout kLayout = block_layout(kType);
  const std::byte* quants = block + kLayout.quants;
  if constexpr (kType == WeightType::kQ8_0) {
    const __m512i flip = _mm512_set1_epi8(-128);
    for (int g = 0; g < 8; ++g) words[g] = _mm512_xor_si512(load(quants + 64 * g), flip);
    return;
  }
  const __m512i low = _mm512_set1_epi8(15);
  for (int g = 0; g < 4; ++g) {
    const __m512i both = load(quants + 64 * g);
    words[g] = _mm512_and_si512(both, low);
    words[g + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
  }
  if constexpr (has_high_bits(kType)) {
    constexpr int kOrAnd = 0xf8;  // a | (b & c)
    const __m512i bit4 = _mm512_set1_epi8(16);
    const __m512i high = load(block + kLayout.high);
    for (int g = 0; g < 8; ++g) {
      const __m512i there = g < 4 ? _mm512_slli_epi16(high, 4 - g) : _mm512_srli_epi16(high, g - 4);
      words[g] = _mm512_ternarylogic_epi32(words[g], there, bit4, kOrAnd);
    }
  }
}

// isum + the sum over the block of unsigned weights times q, for 16 rows.
[[gnu::always_inline]] inline __m512i dot(const __m512i (&words)[8], const int8_t* q,
                                          __m512i isum) {
  for (int g = 0; g < 8; ++g) {
    int32_t four;
    __builtin_memcpy(&four, q + 4 * g, sizeof four);
    isum = _mm512_dpbusd_epi32(isum, words[g], _mm512_set1_epi32(four));
  }
  return isum;
}

template <WeightType kType, int kTokens>
struct Group {
  static constexpr BlockLayout kLayout = block_layout(kType);
  static constexpr int kOffset = kType == WeightType::kQ8_0 ? 128 : quant_offset(kType);

  struct Sum {
    __m512 of[kTokens];
  };

  const PanelJob& job;
  int64_t first_token;

  [[gnu::always_inline]] const std::byte* add_block(const std::byte* weights, int64_t block, int,
                                                    Sum& sum) const {
    // Later groups of tokens find the panel in the cache.
    if (kTokens == 1 || first_token == 0) {
      for (int i = 0; i < kLayout.bytes; i += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(weights + i + kPrefetchBytes), _MM_HINT_T0);
      }
    }
    __m512i words[8];
    unpack<kType>(weights, words);
    const __m512 scale = load_f16(weights);
    const __m512 min = has_min(kType) ? load_f16(weights + kLayout.min) : _mm512_setzero_ps();
    // Unrolled, all sums stay in registers. By itself GCC unrolls for six tokens at most.
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      const int64_t token = first_token + t;
      __m512i isum = _mm512_setzero_si512();
      if constexpr (kOffset != 0) {
        isum = _mm512_set1_epi32(-kOffset * job.q_sum[token * job.q_sum_stride + block]);
      }
      isum = dot(words, job.q + token * job.q_stride + block * kBlockLen, isum);
      const __m512 x_scale = _mm512_set1_ps(job.scale[token * job.scale_stride + block]);
      const __m512 scales = _mm512_mul_ps(scale, x_scale);
      sum.of[t] = _mm512_fmadd_ps(scales, _mm512_cvtepi32_ps(isum), sum.of[t]);
      if constexpr (has_min(kType)) {
        const __m512 x_sum = _mm512_set1_ps(job.sum[token * job.sum_stride + block]);
        sum.of[t] = _mm512_fmadd_ps(min, x_sum, sum.of[t]);
      }
    }
    return weights + kLayout.bytes;
  }

  [[gnu::always_inline]] static void join(const Sum& left, Sum& sum) {
    for (int t = 0; t < kTokens; ++t) sum.of[t] = _mm512_add_ps(left.of[t], sum.of[t]);
  }
};

template <WeightType kType, int kTokens>
void sum_group(const PanelJob& job, int64_t first_token) {
  const auto sum = sum_segments(job, Group<kType, kTokens>{job, first_token});
  const __mmask16 rows = static_cast<__mmask16>((1u << job.n_rows) - 1);
  float* out = job.out + first_token * job.out_stride;
  for (int t = 0; t < kTokens; ++t, out += job.out_stride) {
    const __m512 y = job.bias ? _mm512_add_ps(sum.of[t], _mm512_loadu_ps(job.bias)) : sum.of[t];
    _mm512_mask_storeu_ps(out, rows, y);
  }
}

template <WeightType kType>
void sum_panel(const PanelJob& job) {
  static constexpr void (*kGroups[kMaxTokens + 1])(const PanelJob&, int64_t) = {
      nullptr,
      sum_group<kType, 1>,
      sum_group<kType, 2>,
      sum_group<kType, 3>,
      sum_group<kType, 4>,
      sum_group<kType, 5>,
      sum_group<kType, 6>,
      sum_group<kType, 7>,
      sum_group<kType, 8>,
  };
  for_each_group(job.n_tokens, kMaxTokens,
                 [&](int64_t first, int64_t n) { kGroups[n](job, first); });
}

}  // namespace

PanelKernel quant_panel_kernel_avx512(WeightType type) {
  switch (type) {
    case WeightType::kQ8_0:
      return sum_panel<WeightType::kQ8_0>;
    case WeightType::kQ4_0:
      return sum_panel<WeightType::kQ4_0>;
    case WeightType::kQ4_1:
      return sum_panel<WeightType::kQ4_1>;
    case WeightType::kQ5_0:
      return sum_panel<WeightType::kQ5_0>;
    case WeightType::kQ5_1:
      return sum_panel<WeightType::kQ5_1>;
    default:
      return nullptr;
  }
}

}  // namespace lockstep
