// Avx2: the vector class of kernels/cpu with 8 elements (AVX2, FMA, F16C). Included by *_avx2.cpp
// only. simd_portable.h says what each function means.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace lockstep::simd {

struct Avx2 {
  using F = __m256;
  using M = __m256;  // all ones or all zeros per element
  static constexpr int kWidth = 8;
  static constexpr int kTileVecs = 2;

  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F load_n(const float* p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
  static void store_n(float* p, F v, int64_t n) { _mm256_maskstore_ps(p, first(n), v); }
  static F set1(float v) { return _mm256_set1_ps(v); }
  static F load_f16(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static F load_bf16(const uint16_t* p) {
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(b), 16));
  }
  static F load_i8(const int8_t* p) {
    const __m128i b = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b));
  }
  static void store_f16(uint16_t* p, F v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  static void store_bf16(uint16_t* p, F v) {
    const __m256i b = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(b, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(b, _mm256_set1_epi32(0x400000));
    const __m256i picked = _mm256_castps_si256(
        select(is_nan(v), _mm256_castsi256_ps(quiet), _mm256_castsi256_ps(rounded)));
    const __m256i high = _mm256_srli_epi32(picked, 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
  }

  typedef int I __attribute__((vector_size(32)));  // as in Avx512
  static I zero_int() { return I{}; }
  static I load_pairs(const int16_t* p) {
    return (I)_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static I set1_pair(const int16_t* p) {
    int32_t pair;
    std::memcpy(&pair, p, sizeof pair);
    return (I)_mm256_set1_epi32(pair);
  }
  static I add_products(I a, I b, I sum) {
    return sum + (I)_mm256_madd_epi16((__m256i)a, (__m256i)b);
  }
  static F to_float(I v) { return _mm256_cvtepi32_ps((__m256i)v); }
  static void store_rounded(int16_t* p, F v) {
    const __m256i whole = _mm256_cvtps_epi32(v);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(p),
        _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1)));
  }
  static void interleave(const int8_t* a, const int8_t* b, int16_t* pairs) {
    store_pairs(_mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(a))),
                _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(b))), pairs);
  }
  static void interleave(const int16_t* a, const int16_t* b, int16_t* pairs) {
    store_pairs(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a)),
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)), pairs);
  }

  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F negate(F a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
  static F rint_small(F a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static F times_power_of_two(F a, F n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return mul(a, _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23)));
  }

  static M less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static M greater_equal(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
  static M equal(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
  static M is_nan(F a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
  static M not_finite(F a) {
    const F magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
    return _mm256_cmp_ps(magnitude, _mm256_set1_ps(0x1.fffffep127f), _CMP_NLE_UQ);
  }
  static M mask(int lo, int hi) {
    const __m256i element = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(lo), element);
    const __m256i inside = _mm256_cmpgt_epi32(_mm256_set1_epi32(hi), element);
    return _mm256_castsi256_ps(_mm256_andnot_si256(below, inside));
  }
  static M both(M a, M b) { return _mm256_and_ps(a, b); }
  static M either(M a, M b) { return _mm256_or_ps(a, b); }
  static uint32_t bits(M m) { return static_cast<uint32_t>(_mm256_movemask_ps(m)); }
  static F select(M m, F a, F b) { return _mm256_blendv_ps(b, a, m); }

  static float max_element(F v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
  }
  // hadd joins neighbours inside each half, so the four vectors end as
  // (tree of 0-3, 8-11, 16-19, 24-27 | tree of 4-7, 12-15, 20-23, 28-31).
  static float tree32(const F (&v)[4]) {
    const F fours = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    const __m128 eights =
        _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps(fours, 1));
    const __m128 sixteens = _mm_hadd_ps(eights, eights);
    return _mm_cvtss_f32(_mm_add_ss(sixteens, _mm_movehdup_ps(sixteens)));
  }
  static void rotate_pairs(float* x, const float* cos_sin) {
    for (int half = 0; half < 2; ++half) {
      const F v = load(x + 8 * half);
      const F cs = load(cos_sin + 8 * half);
      const F swapped = _mm256_permute_ps(v, 0xb1);
      const F across = mul(swapped, _mm256_movehdup_ps(cs));  // b sin, a sin
      const F signs = _mm256_setr_ps(-0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f);
      store(x + 8 * half, fma(v, _mm256_moveldup_ps(cs), _mm256_xor_ps(across, signs)));
    }
  }

 private:
  static void store_pairs(__m128i a, __m128i b, int16_t* pairs) {
    auto* to = reinterpret_cast<__m128i*>(pairs);
    _mm_storeu_si128(to, _mm_unpacklo_epi16(a, b));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(a, b));
  }
  static __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

}  // namespace lockstep::simd
