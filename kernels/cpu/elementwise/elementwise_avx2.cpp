#include "kernels/cpu/elementwise/elementwise_impl.h"
#include "kernels/cpu/simd/simd_avx2.h"

namespace lockstep {

void norm_row_avx2(const float* x, const float* weight, int64_t n, float eps, float* y) {
  simd::norm_row<simd::Avx2>(x, weight, n, eps, y);
}

void silu_row_avx2(const float* gate, const float* up, int64_t n, float* y) {
  simd::silu_row<simd::Avx2>(gate, up, n, y);
}

bool finite_row_avx2(const float* x, int64_t n, float limit) {
  return simd::finite_row<simd::Avx2>(x, n, limit);
}

}  // namespace lockstep
