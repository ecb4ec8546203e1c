#include <immintrin.h>

#include "kernels/cpu/elementwise/quantize.h"

namespace lockstep {
namespace {

constexpr int32_t kInfinityBits = 0x7f800000;
constexpr int32_t kTinyBits = 0x0f800000;  // 2^-96

// The largest of eight non-negative int32.
int32_t max_element(__m256i v) {
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(1, 0, 3, 2)));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(2, 3, 0, 1)));
  return _mm_cvtsi128_si32(m);
}

int32_t sum_elements(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
  return _mm_cvtsi128_si32(s);
}

void put_zeros(float scale, int64_t b, const QuantizedRow& out) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.q + b * kBlockLen), _mm256_setzero_si256());
  out.scale[b] = scale;
  out.q_sum[b] = 0;
  out.sum[b] = scale;  // +0 or NaN, like the scale
}

void quantize_block(const float* x, int64_t b, const QuantizedRow& out) {
  // As integers, the bits of magnitudes have the order of the magnitudes, with Inf and NaN last.
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256 values[4];
  __m256i max_bits = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    values[i] = _mm256_loadu_ps(x + 8 * i);
    const __m256i bits = _mm256_and_si256(_mm256_castps_si256(values[i]), magnitude);
    max_bits = _mm256_max_epi32(max_bits, bits);
  }
  const int32_t amax_bits = max_element(max_bits);
  if (amax_bits >= kInfinityBits) return put_zeros(__builtin_nanf(""), b, out);
  if (amax_bits < kTinyBits) return put_zeros(0.0f, b, out);

  float amax;
  __builtin_memcpy(&amax, &amax_bits, sizeof amax);
  const __m256 inverse = _mm256_set1_ps(127.0f / amax);
  __m256i q[4];
  __m256i sums = _mm256_setzero_si256();
  for (int i = 0; i < 4; ++i) {
    q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(values[i], inverse));
    sums = _mm256_add_epi32(sums, q[i]);
  }
  // Packing works within 128-bit halves; the permutation restores the order of the groups of four.
  const __m256i pairs =
      _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.q + b * kBlockLen),
                      _mm256_permutevar8x32_epi32(pairs, order));
  const float scale = amax / 127.0f;
  const int32_t q_sum = sum_elements(sums);
  out.scale[b] = scale;
  out.q_sum[b] = q_sum;
  out.sum[b] = scale * static_cast<float>(q_sum);
}

}  // namespace

void quantize_row_avx2(const float* x, int64_t n, const QuantizedRow& out) {
  for (int64_t b = 0; b < n / kBlockLen; ++b) quantize_block(x + b * kBlockLen, b, out);
}

}  // namespace lockstep
