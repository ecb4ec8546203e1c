#include <immintrin.h>

#include "kernels/cpu/elementwise/quantize.h"

namespace lockstep {
namespace {

constexpr int32_t kInfinityBits = 0x7f800000;
constexpr int32_t kTinyBits = 0x0f800000;  // 2^-96

void put_zeros(float scale, int64_t b, const QuantizedRow& out) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.q + b * kBlockLen), _mm256_setzero_si256());
  out.scale[b] = scale;
  out.q_sum[b] = 0;
  out.sum[b] = scale;  // +0 or NaN, like the scale
}

void quantize_block(const float* x, int64_t b, const QuantizedRow& out) {
  const __m512 low = _mm512_loadu_ps(x);
  const __m512 high = _mm512_loadu_ps(x + 16);
  // As integers, the bits of magnitudes have the order of the magnitudes, with Inf and NaN last.
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const int32_t amax_bits = _mm512_reduce_max_epi32(
      _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                       _mm512_and_si512(_mm512_castps_si512(high), magnitude)));
  if (amax_bits >= kInfinityBits) return put_zeros(__builtin_nanf(""), b, out);
  if (amax_bits < kTinyBits) return put_zeros(0.0f, b, out);

  float amax;
  __builtin_memcpy(&amax, &amax_bits, sizeof amax);
  const __m512 inverse = _mm512_set1_ps(127.0f / amax);
  const __m512i q_low = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse));
  const __m512i q_high = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
  __m128i* q = reinterpret_cast<__m128i*>(out.q + b * kBlockLen);
  _mm_storeu_si128(q, _mm512_cvtepi32_epi8(q_low));
  _mm_storeu_si128(q + 1, _mm512_cvtepi32_epi8(q_high));
  const float scale = amax / 127.0f;
  const int32_t q_sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q_low, q_high));
  out.scale[b] = scale;
  out.q_sum[b] = q_sum;
  out.sum[b] = scale * static_cast<float>(q_sum);
}

}  // namespace

void quantize_row_avx512(const float* x, int64_t n, const QuantizedRow& out) {
  for (int64_t b = 0; b < n / kBlockLen; ++b) quantize_block(x + b * kBlockLen, b, out);
}

}  // namespace lockstep
