// Avx512: the vector class of kernels/cpu with 16 elements (AVX-512 F, BW, DQ, VL, VNNI). Included
// by
// *_avx512.cpp only. simd_portable.h says what each function means.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace lockstep::simd {

struct Avx512 {
  using F = __m512;
  using M = __mmask16;
  static constexpr int kWidth = 16;
  static constexpr int kTileVecs = 4;

  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F load_n(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store_n(float* p, F v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
  static F set1(float v) { return _mm512_set1_ps(v); }
  static F load_f16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static F load_bf16(const uint16_t* p) {
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
  }
  static F load_i8(const int8_t* p) {
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b));
  }
  static void store_f16(uint16_t* p, F v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  static void store_bf16(uint16_t* p, F v) {
    const __m512i b = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(b, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(b, _mm512_set1_epi32(0x7fff)), odd);
    const __m512i picked = _mm512_mask_or_epi32(rounded, is_nan(v), b, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(picked, 16)));
  }

  // A vector of ints: GCC copies the sums of a loop back and forth if they are __m512i.
  typedef int I __attribute__((vector_size(64)));
  static I zero_int() { return I{}; }
  static I load_pairs(const int16_t* p) { return (I)_mm512_loadu_si512(p); }
  static I set1_pair(const int16_t* p) {
    int32_t pair;
    std::memcpy(&pair, p, sizeof pair);
    return (I)_mm512_set1_epi32(pair);
  }
  static I add_products(I a, I b, I sum) {
    return (I)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
  }
  static F to_float(I v) { return _mm512_cvtepi32_ps((__m512i)v); }
  static void store_rounded(int16_t* p, F v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
  }
  static void interleave(const int8_t* a, const int8_t* b, int16_t* pairs) {
    store_pairs(_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a))),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b))), pairs);
  }
  static void interleave(const int16_t* a, const int16_t* b, int16_t* pairs) {
    store_pairs(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a)),
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)), pairs);
  }

  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F negate(F a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
  static F rint_small(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
  static F times_power_of_two(F a, F n) { return _mm512_scalef_ps(a, n); }

  static M less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static M greater_equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
  static M equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  static M is_nan(F a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
  static M not_finite(F a) {
    return _mm512_cmp_ps_mask(_mm512_abs_ps(a), _mm512_set1_ps(0x1.fffffep127f), _CMP_NLE_UQ);
  }
  static M mask(int lo, int hi) { return static_cast<M>(first(hi) & ~first(lo)); }
  static M both(M a, M b) { return static_cast<M>(a & b); }
  static M either(M a, M b) { return static_cast<M>(a | b); }
  static uint32_t bits(M m) { return m; }
  static F select(M m, F a, F b) { return _mm512_mask_blend_ps(m, b, a); }

  static float max_element(F v) {
    const __m256 m = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 n = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    n = _mm_max_ps(n, _mm_movehl_ps(n, n));
    return _mm_cvtss_f32(_mm_max_ss(n, _mm_movehdup_ps(n)));
  }
  // As in Avx2, hadd joins neighbours inside each 128-bit part.
  static float tree32(const F (&v)[2]) {
    const __m256 a = _mm256_hadd_ps(low(v[0]), high(v[0]));
    const __m256 b = _mm256_hadd_ps(low(v[1]), high(v[1]));
    const __m256 fours = _mm256_hadd_ps(a, b);
    const __m128 eights =
        _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps(fours, 1));
    const __m128 sixteens = _mm_hadd_ps(eights, eights);
    return _mm_cvtss_f32(_mm_add_ss(sixteens, _mm_movehdup_ps(sixteens)));
  }
  static void rotate_pairs(float* x, const float* cos_sin) {
    for (int half = 0; half < 2; ++half) {
      const F v = load(x + 16 * half);
      const F cs = load(cos_sin + 16 * half);
      const F across = mul(_mm512_permute_ps(v, 0xb1), _mm512_movehdup_ps(cs));  // b sin, a sin
      const F signs = _mm512_castsi512_ps(_mm512_set1_epi64(0x80000000));        // even elements
      store(x + 16 * half, fma(v, _mm512_moveldup_ps(cs), _mm512_xor_ps(across, signs)));
    }
  }

 private:
  // a and b go to the low and high half of each pair of 16-bit places.
  static void store_pairs(__m256i a, __m256i b, int16_t* pairs) {
    const __m512i low = _mm512_cvtepu16_epi32(a);
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16);
    _mm512_storeu_si512(pairs, _mm512_or_si512(low, high));
  }
  // The mask of the elements below n, for n of any sign and size.
  static __mmask16 first(int64_t n) {
    return n <= 0 ? __mmask16{0} : n >= 16 ? __mmask16{0xffff} : static_cast<M>((1u << n) - 1);
  }
  static __m256 low(F v) { return _mm512_castps512_ps256(v); }
  static __m256 high(F v) { return _mm512_extractf32x8_ps(v, 1); }
};

}  // namespace lockstep::simd
