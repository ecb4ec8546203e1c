// Quantised weights, AVX2: one ymm register is 8 rows of four k, so a panel is two halves.
// vpmaddubsw makes int16 sums of two products. How many of them may be added before they are
// widened to int32 depends on the type:
//   4 bits:  15 * 127 * 2 * 8 groups = 30480 fits         5 bits:  31 * 127 * 2 * 4 groups = 31496
//   8 bits:  |w| * (x with w's sign): 128 * 127 * 2 = 32512, so every group is widened by itself
// Weights with an offset are used as stored: the exact integer sum is reduced by offset * q_sum.
#include <immintrin.h>

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
  if constexpr (has_high_bits(kType)) {
    const __m256i bit4 = _mm256_set1_epi8(16);
    const __m256i high = load(block + kLayout.high);
    for (int g = 0; g < 8; ++g) {
      const __m256i there = g < 4 ? _mm256_slli_epi16(high, 4 - g) : _mm256_srli_epi16(high, g - 4);
      words[g] = _mm256_or_si256(words[g], _mm256_and_si256(there, bit4));
    }
  }
}

// The exact integer sum over the block of stored weights times q, for 8 rows.
template <WeightType kType>
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
  constexpr int kGroupsPerSum = has_high_bits(kType) ? 4 : 8;
  for (int first = 0; first < 8; first += kGroupsPerSum) {
    __m256i pairs = _mm256_maddubs_epi16(words[first], broadcast_four(q + 4 * first));
    for (int g = first + 1; g < first + kGroupsPerSum; ++g) {
      pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(words[g], broadcast_four(q + 4 * g)));
    }
    isum = _mm256_add_epi32(isum, _mm256_madd_epi16(pairs, ones));
  }
  return isum;
}

template <WeightType kType>
[[gnu::always_inline]] inline void prefetch(const std::byte* block) {
  for (int i = 0; i < block_layout(kType).bytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(block + i + kPrefetchBytes), _MM_HINT_T0);
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
    if (kTokens > 1 && half == 0 && first_token == 0) prefetch<kType>(weights);
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
    prefetch<kType>(weights);
    Half{job, first_token, 0}.add_block(weights, block, n_values, sum.of[0]);
    return Half{job, first_token, 1}.add_block(weights, block, n_values, sum.of[1]);
  }

  [[gnu::always_inline]] static void join(const Sum& left, Sum& sum) {
    for (int half = 0; half < kHalves; ++half) Half::join(left.of[half], sum.of[half]);
  }
};

template <WeightType kType, int kTokens>
void sum_group(const PanelJob& job, int64_t first_token) {
  if constexpr (kTokens == 1) {
    const auto sum = sum_segments(job, WholeGroup<kType>{job, first_token});
    store_avx2(job, first_token, sum.of[0].of[0], sum.of[1].of[0]);
  } else {
    using Half = HalfGroup<kType, kTokens>;
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
    default:
      return nullptr;
  }
}

}  // namespace lockstep
