// Quantised weights, AVX-512 VNNI: one zmm register is 16 rows of four k; vpdpbusd adds their
// products to the int32 sums of the 16 rows. Weights are made unsigned by adding an offset; the
// integer sum starts at -offset * q_sum, so it is exact. Eight tokens share unpacked weights.
#include <immintrin.h>

#include <type_traits>

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
  // Of the bits above the nibbles, a byte has those of eight values, or of four.
  constexpr int kBits = n_high_bits(kType);
  if constexpr (kBits != 0) {
    constexpr int kOrAnd = 0xf8;  // a | (b & c)
    constexpr int kValues = 8 / kBits;
    const __m512i there_bits = _mm512_set1_epi8(kBits == 1 ? 0x10 : 0x30);
    for (int g = 0; g < 8; ++g) {
      const __m512i high = load(block + kLayout.high + 64 * (g / kValues));
      const int up = 4 - kBits * (g % kValues);
      const __m512i there = up >= 0 ? _mm512_slli_epi16(high, up) : _mm512_srli_epi16(high, -up);
      words[g] = _mm512_ternarylogic_epi32(words[g], there, there_bits, kOrAnd);
    }
  }
}

// isum + the sum over words kFirst … kEnd - 1 of unsigned weights times q, for 16 rows.
template <int kFirst = 0, int kEnd = 8>
[[gnu::always_inline]] inline __m512i dot(const __m512i (&words)[8], const int8_t* q,
                                          __m512i isum) {
  for (int g = kFirst; g < kEnd; ++g) {
    int32_t four;
    __builtin_memcpy(&four, q + 4 * g, sizeof four);
    isum = _mm512_dpbusd_epi32(isum, words[g], _mm512_set1_epi32(four));
  }
  return isum;
}

// Prefetches n_bytes, kPrefetchBytes ahead of p.
[[gnu::always_inline]] inline void prefetch(const std::byte* p, int64_t n_bytes) {
  for (int64_t i = 0; i < n_bytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(p + i + kPrefetchBytes), _MM_HINT_T0);
  }
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
    if (kTokens == 1 || first_token == 0) prefetch(weights, kLayout.bytes);
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

// K-quants. Sums of whole blocks, and of half blocks for Q6_K, are multiplied by their integer
// scales as floats, which is exact (docs/numerics.md section 2).
template <WeightType kType, int kTokens>
struct KGroup {
  static constexpr BlockLayout kLayout = block_layout(kType);
  static constexpr int64_t kHeaderBytes = header_bytes(kType);

  struct Sum {
    __m512 of[kTokens];
  };

  const PanelJob& job;
  int64_t first_token;

  // One byte a row, as floats.
  [[gnu::always_inline]] static __m512 load_scales(const std::byte* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(has_min(kType) ? _mm512_cvtepu8_epi32(bytes)
                                             : _mm512_cvtepi8_epi32(bytes));
  }

  // The sums over both halves of a block of Q6_K, whose stored values are 32 too large.
  [[gnu::always_inline]] static __m512 dot_halves(const __m512i (&words)[8], const int8_t* q,
                                                  int32_t q_sum, __m512 scale, __m512 scale2) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(q));
    __m128i four = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(32), half);
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    const __m512i first = _mm512_broadcastd_epi32(four);  // 32 times the sum of the first half
    const __m512i second = _mm512_sub_epi32(first, _mm512_set1_epi32(32 * q_sum));  // negated
    const __m512i isum = dot<0, 4>(words, q, _mm512_sub_epi32(_mm512_setzero_si512(), first));
    const __m512i isum2 = dot<4, 8>(words, q, second);
    return _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(isum),
                           _mm512_mul_ps(scale2, _mm512_cvtepi32_ps(isum2)));
  }

  // The headers of the next panel follow this one's blocks, whose prefetches step over them.
  [[gnu::always_inline]] void begin_leaf(const std::byte* headers) const {
    if (kTokens == 1 || first_token == 0) prefetch(headers, job.leaf_headers);
  }

  [[gnu::always_inline]] const std::byte* add_block(const std::byte* weights,
                                                    const std::byte* header, int64_t block,
                                                    Sum& sum) const {
    if (kTokens == 1 || first_token == 0) prefetch(weights, kLayout.bytes);
    __m512i words[8];
    unpack<kType>(weights, words);
    const __m512 d = load_f16(header);
    const __m512 scale = load_scales(weights);
    const __m512 scale2 = load_scales(weights + kLayout.min);
    const __m512 min = has_min(kType) ? _mm512_mul_ps(load_f16(header + kHeaderBytes / 2), scale2)
                                      : _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      const int64_t token = first_token + t;
      const int8_t* q = job.q + token * job.q_stride + block * kBlockLen;
      __m512 isum;
      if constexpr (has_min(kType)) {
        isum = _mm512_mul_ps(scale, _mm512_cvtepi32_ps(dot(words, q, _mm512_setzero_si512())));
      } else {
        isum = dot_halves(words, q, job.q_sum[token * job.q_sum_stride + block], scale, scale2);
      }
      const __m512 x_scale = _mm512_set1_ps(job.scale[token * job.scale_stride + block]);
      sum.of[t] = _mm512_fmadd_ps(_mm512_mul_ps(d, x_scale), isum, sum.of[t]);
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
  using Sums = std::conditional_t<is_k_quant(kType), KGroup<kType, kTokens>, Group<kType, kTokens>>;
  const auto sum = sum_segments(job, Sums{job, first_token});
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
    case WeightType::kQ4_K:
      return sum_panel<WeightType::kQ4_K>;
    case WeightType::kQ5_K:
      return sum_panel<WeightType::kQ5_K>;
    case WeightType::kQ6_K:
      return sum_panel<WeightType::kQ6_K>;
    default:
      return nullptr;
  }
}

}  // namespace lockstep
