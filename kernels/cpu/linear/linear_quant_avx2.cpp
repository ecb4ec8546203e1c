// Quantised weights, AVX2: one ymm register is 8 rows of four k, so a panel is two halves.
// vpmaddubsw makes int16 sums of two products. How many of them may be added before they are
// widened to int32 depends on the type:
//   4 bits:  15 * 127 * 2 * 8 groups = 30480 fits         5 bits:  31 * 127 * 2 * 4 groups = 31496
//   6 bits:  63 * 127 * 2 * 2 groups = 32004
//   8 bits:  |w| * (x with w's sign): 128 * 127 * 2 = 32512, so every group is widened by itself
// Weights with an offset are used as stored: the exact integer sum is reduced by offset * q_sum.
#include <immintrin.h>

#include <type_traits>

#include "kernels/cpu/linear/linear_panel.h"
#include "kernels/cpu/linear/linear_store_avx2.h"
#include "kernels/layout/packed_layout.h"

namespace lockstep {
namespace {

constexpr int kMaxTokens = 4;
constexpr int kHalves = 2;
constexpr int kHalfRows = kPanelRows / kHalves;
constexpr int64_t kPrefetchBytes = 4096;  // ahead of the current block

[[gnu::always_inline]] inline __m256i load(const std::byte* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// Loads the f16 values of 8 rows, widened.
[[gnu::always_inline]] inline __m256 load_f16(const std::byte* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

[[gnu::always_inline]] inline __m256i broadcast_four(const int8_t* q) {
  int32_t four;
  __builtin_memcpy(&four, q, sizeof four);
  return _mm256_set1_epi32(four);
}

// Unpacks the eight words of each row (k = 4g … 4g + 3) to bytes. `block` points at the half's
// part.
template <WeightType kType>
[[gnu::always_inline]] inline void unpack(const std::byte* block, __m256i (&words)[8]) {
  constexpr BlockLayout kLayout = block_layout(kType);
  const std::byte* quants = block + kLayout.quants;
  if constexpr (kType == WeightType::kQ8_0) {
    for (int g = 0; g < 8; ++g) words[g] = load(quants + 64 * g);
    return;
  }
  const __m256i low = _mm256_set1_epi8(15);
  for (int g = 0; g < 4; ++g) {
    const __m256i both = load(quants + 64 * g);
    words[g] = _mm256_and_si256(both, low);
    words[g + 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
  }
  // Of the bits above the nibbles, a byte has those of eight values, or of four.
  constexpr int kBits = n_high_bits(kType);
  if constexpr (kBits != 0) {
    constexpr int kValues = 8 / kBits;
    const __m256i there_bits = _mm256_set1_epi8(kBits == 1 ? 0x10 : 0x30);
    for (int g = 0; g < 8; ++g) {
      const __m256i high = load(block + kLayout.high + 64 * (g / kValues));
      const int up = 4 - kBits * (g % kValues);
      const __m256i there = up >= 0 ? _mm256_slli_epi16(high, up) : _mm256_srli_epi16(high, -up);
      words[g] = _mm256_or_si256(words[g], _mm256_and_si256(there, there_bits));
    }
  }
}

// The exact integer sum over words kFirst … kEnd - 1 of stored weights times q, for 8 rows.
template <WeightType kType, int kFirst = 0, int kEnd = 8>
[[gnu::always_inline]] inline __m256i dot(const __m256i (&words)[8], const int8_t* q) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i isum = _mm256_setzero_si256();
  if constexpr (kType == WeightType::kQ8_0) {
    for (int g = 0; g < 8; ++g) {
      const __m256i x = _mm256_sign_epi8(broadcast_four(q + 4 * g), words[g]);
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(words[g]), x);
      isum = _mm256_add_epi32(isum, _mm256_madd_epi16(pairs, ones));
    }
    return isum;
  }
  constexpr int kGroupsPerSum = 8 >> n_high_bits(kType);
  for (int first = kFirst; first < kEnd; first += kGroupsPerSum) {
    __m256i pairs = _mm256_maddubs_epi16(words[first], broadcast_four(q + 4 * first));
    for (int g = first + 1; g < first + kGroupsPerSum; ++g) {
      pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(words[g], broadcast_four(q + 4 * g)));
    }
    isum = _mm256_add_epi32(isum, _mm256_madd_epi16(pairs, ones));
  }
  return isum;
}

// Prefetches n_bytes, kPrefetchBytes ahead of p.
[[gnu::always_inline]] inline void prefetch(const std::byte* p, int64_t n_bytes) {
  for (int64_t i = 0; i < n_bytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(p + i + kPrefetchBytes), _MM_HINT_T0);
  }
}

// Eight rows of a panel and a group of tokens: as much as 16 registers hold.
template <WeightType kType, int kTokens>
struct HalfGroup {
  static constexpr BlockLayout kLayout = block_layout(kType);
  static constexpr int kOffset = quant_offset(kType);

  struct Sum {
    __m256 of[kTokens];
  };

  const PanelJob& job;
  int64_t first_token;
  int half;

  [[gnu::always_inline]] const std::byte* add_block(const std::byte* weights, int64_t block, int,
                                                    Sum& sum) const {
    const int f16_at = 2 * kHalfRows * half;
    const __m256 scale = load_f16(weights + f16_at);
    const __m256 min =
        has_min(kType) ? load_f16(weights + kLayout.min + f16_at) : _mm256_setzero_ps();
    __m256i words[8];
    unpack<kType>(weights + 4 * kHalfRows * half, words);
    for (int t = 0; t < kTokens; ++t) {
      const int64_t token = first_token + t;
      __m256i isum = dot<kType>(words, job.q + token * job.q_stride + block * kBlockLen);
      if constexpr (kOffset != 0) {
        const int32_t q_sum = job.q_sum[token * job.q_sum_stride + block];
        isum = _mm256_sub_epi32(isum, _mm256_set1_epi32(kOffset * q_sum));
      }
      const __m256 x_scale = _mm256_set1_ps(job.scale[token * job.scale_stride + block]);
      const __m256 scales = _mm256_mul_ps(scale, x_scale);
      sum.of[t] = _mm256_fmadd_ps(scales, _mm256_cvtepi32_ps(isum), sum.of[t]);
      if constexpr (has_min(kType)) {
        const __m256 x_sum = _mm256_set1_ps(job.sum[token * job.sum_stride + block]);
        sum.of[t] = _mm256_fmadd_ps(min, x_sum, sum.of[t]);
      }
    }
    // The other half and later groups of tokens find the panel in the cache.
    if (kTokens > 1 && half == 0 && first_token == 0) prefetch(weights, kLayout.bytes);
    return weights + kLayout.bytes;
  }

  [[gnu::always_inline]] static void join(const Sum& left, Sum& sum) {
    for (int t = 0; t < kTokens; ++t) sum.of[t] = _mm256_add_ps(left.of[t], sum.of[t]);
  }
};

// K-quants, likewise. Sums of whole blocks, and of half blocks for Q6_K, are multiplied by their
// integer scales as floats, which is exact (docs/numerics.md section 2).
template <WeightType kType, int kTokens>
struct KHalfGroup {
  static constexpr BlockLayout kLayout = block_layout(kType);
  static constexpr int64_t kHeaderBytes = header_bytes(kType);

  struct Sum {
    __m256 of[kTokens];
  };

  const PanelJob& job;
  int64_t first_token;
  int half;

  // One byte a row, as floats.
  [[gnu::always_inline]] static __m256 load_scales(const std::byte* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(has_min(kType) ? _mm256_cvtepu8_epi32(bytes)
                                             : _mm256_cvtepi8_epi32(bytes));
  }

  // The sums over both halves of a block of Q6_K, whose stored values are 32 too large.
  [[gnu::always_inline]] static __m256 dot_halves(const __m256i (&words)[8], const int8_t* q,
                                                  int32_t q_sum, __m256 scale, __m256 scale2) {
    const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(q));
    const __m128i pairs = _mm_maddubs_epi16(_mm_set1_epi8(32), sixteen);
    __m128i four = _mm_madd_epi16(pairs, _mm_set1_epi16(1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    const __m256i first = _mm256_broadcastd_epi32(four);  // 32 times the sum of the first half
    const __m256i second = _mm256_sub_epi32(_mm256_set1_epi32(32 * q_sum), first);
    const __m256i isum = _mm256_sub_epi32(dot<kType, 0, 4>(words, q), first);
    const __m256i isum2 = _mm256_sub_epi32(dot<kType, 4, 8>(words, q), second);
    return _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(isum),
                           _mm256_mul_ps(scale2, _mm256_cvtepi32_ps(isum2)));
  }

  // The headers of the next panel follow this one's blocks, whose prefetches step over them.
  [[gnu::always_inline]] void begin_leaf(const std::byte* headers) const {
    if (half == 0 && first_token == 0) prefetch(headers, job.leaf_headers);
  }

  [[gnu::always_inline]] const std::byte* add_block(const std::byte* weights,
                                                    const std::byte* header, int64_t block,
                                                    Sum& sum) const {
    const __m256 d = load_f16(header + 2 * kHalfRows * half);
    const __m256 scale = load_scales(weights + kHalfRows * half);
    const __m256 scale2 = load_scales(weights + kLayout.min + kHalfRows * half);
    __m256 min = _mm256_setzero_ps();
    if constexpr (has_min(kType)) {
      min = _mm256_mul_ps(load_f16(header + kHeaderBytes / 2 + 2 * kHalfRows * half), scale2);
    }
    __m256i words[8];
    unpack<kType>(weights + 4 * kHalfRows * half, words);
    for (int t = 0; t < kTokens; ++t) {
      const int64_t token = first_token + t;
      const int8_t* q = job.q + token * job.q_stride + block * kBlockLen;
      __m256 isum;
      if constexpr (has_min(kType)) {
        isum = _mm256_mul_ps(scale, _mm256_cvtepi32_ps(dot<kType>(words, q)));
      } else {
        isum = dot_halves(words, q, job.q_sum[token * job.q_sum_stride + block], scale, scale2);
      }
      const __m256 x_scale = _mm256_set1_ps(job.scale[token * job.scale_stride + block]);
      sum.of[t] = _mm256_fmadd_ps(_mm256_mul_ps(d, x_scale), isum, sum.of[t]);
      if constexpr (has_min(kType)) {
        const __m256 x_sum = _mm256_set1_ps(job.sum[token * job.sum_stride + block]);
        sum.of[t] = _mm256_fmadd_ps(min, x_sum, sum.of[t]);
      }
    }
    if (kTokens > 1 && half == 0 && first_token == 0) prefetch(weights, kLayout.bytes);
    return weights + kLayout.bytes;
  }

  [[gnu::always_inline]] static void join(const Sum& left, Sum& sum) {
    for (int t = 0; t < kTokens; ++t) sum.of[t] = _mm256_add_ps(left.of[t], sum.of[t]);
  }
};

// Both halves at once, so that a single token reads the weights as one stream.
template <WeightType kType>
struct WholeGroup {
  using Half = HalfGroup<kType, 1>;

  struct Sum {
    typename Half::Sum of[kHalves];
  };

  const PanelJob& job;
  int64_t first_token;

  [[gnu::always_inline]] const std::byte* add_block(const std::byte* weights, int64_t block,
                                                    int n_values, Sum& sum) const {
    prefetch(weights, block_layout(kType).bytes);
    Half{job, first_token, 0}.add_block(weights, block, n_values, sum.of[0]);
    return Half{job, first_token, 1}.add_block(weights, block, n_values, sum.of[1]);
  }

  [[gnu::always_inline]] static void join(const Sum& left, Sum& sum) {
    for (int half = 0; half < kHalves; ++half) Half::join(left.of[half], sum.of[half]);
  }
};

template <WeightType kType>
struct KWholeGroup {
  using Half = KHalfGroup<kType, 1>;
  static constexpr int64_t kHeaderBytes = Half::kHeaderBytes;

  struct Sum {
    typename Half::Sum of[kHalves];
  };

  const PanelJob& job;
  int64_t first_token;

  [[gnu::always_inline]] void begin_leaf(const std::byte* headers) const {
    prefetch(headers, job.leaf_headers);
  }

  [[gnu::always_inline]] const std::byte* add_block(const std::byte* weights,
                                                    const std::byte* header, int64_t block,
                                                    Sum& sum) const {
    prefetch(weights, block_layout(kType).bytes);
    Half{job, first_token, 0}.add_block(weights, header, block, sum.of[0]);
    return Half{job, first_token, 1}.add_block(weights, header, block, sum.of[1]);
  }

  [[gnu::always_inline]] static void join(const Sum& left, Sum& sum) {
    for (int half = 0; half < kHalves; ++half) Half::join(left.of[half], sum.of[half]);
  }
};

template <WeightType kType, int kTokens>
void sum_group(const PanelJob& job, int64_t first_token) {
  if constexpr (kTokens == 1) {
    using Whole = std::conditional_t<is_k_quant(kType), KWholeGroup<kType>, WholeGroup<kType>>;
    const auto sum = sum_segments(job, Whole{job, first_token});
    store_avx2(job, first_token, sum.of[0].of[0], sum.of[1].of[0]);
  } else {
    using Half = std::conditional_t<is_k_quant(kType), KHalfGroup<kType, kTokens>,
                                    HalfGroup<kType, kTokens>>;
    const typename Half::Sum sums[kHalves] = {sum_segments(job, Half{job, first_token, 0}),
                                              sum_segments(job, Half{job, first_token, 1})};
    for (int t = 0; t < kTokens; ++t) {
      store_avx2(job, first_token + t, sums[0].of[t], sums[1].of[t]);
    }
  }
}

template <WeightType kType>
void sum_panel(const PanelJob& job) {
  for_each_group(job.n_tokens, kMaxTokens, [&](int64_t first, int64_t n) {
    switch (n) {
      case 1:
        return sum_group<kType, 1>(job, first);
      case 2:
        return sum_group<kType, 2>(job, first);
      case 3:
        return sum_group<kType, 3>(job, first);
      default:
        return sum_group<kType, kMaxTokens>(job, first);
    }
  });
}

}  // namespace

PanelKernel quant_panel_kernel_avx2(WeightType type) {
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
