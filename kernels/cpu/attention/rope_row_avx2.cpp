#include "kernels/cpu/attention/rope_row_impl.h"
#include "kernels/cpu/simd/simd_avx2.h"

namespace lockstep {

void rotate_neighbours_avx2(float* x, const float* cos_sin, int64_t n_pairs) {
  simd::rotate_neighbours<simd::Avx2>(x, cos_sin, n_pairs);
}

void rotate_halves_avx2(float* x, const float* cos, const float* sin, int64_t n_pairs) {
  simd::rotate_halves<simd::Avx2>(x, cos, sin, n_pairs);
}

float quantize_whole_avx2(const float* x, int n, float q_max, int16_t* q) {
  return simd::quantize_whole<simd::Avx2>(x, n, q_max, q);
}
void round_row_avx2(const float* x, int64_t n, KvType type, uint16_t* rounded) {
  simd::round_row<simd::Avx2>(x, n, type, rounded);
}

}  // namespace lockstep
