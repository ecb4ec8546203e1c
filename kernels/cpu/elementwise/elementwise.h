// Inner loops over one row of rms_norm, head_norm and silu_mul (docs/numerics.md section 3) and of
// finite_rows, by instruction set.
#pragma once

#include <cstdint>

namespace lockstep {

// y = (x * 1 / sqrt(mean(x^2) + eps)) * weight, n values. y may be x.
using NormRow = void (*)(const float* x, const float* weight, int64_t n, float eps, float* y);
void norm_row_portable(const float* x, const float* weight, int64_t n, float eps, float* y);
void norm_row_avx2(const float* x, const float* weight, int64_t n, float eps, float* y);
void norm_row_avx512(const float* x, const float* weight, int64_t n, float eps, float* y);

// y = silu(gate) * up, n values.
using SiluRow = void (*)(const float* gate, const float* up, int64_t n, float* y);
void silu_row_portable(const float* gate, const float* up, int64_t n, float* y);
void silu_row_avx2(const float* gate, const float* up, int64_t n, float* y);
void silu_row_avx512(const float* gate, const float* up, int64_t n, float* y);

// Whether the magnitude of each of n values is below `limit`. A NaN never is.
using FiniteRow = bool (*)(const float* x, int64_t n, float limit);
bool finite_row_portable(const float* x, int64_t n, float limit);
bool finite_row_avx2(const float* x, int64_t n, float limit);
bool finite_row_avx512(const float* x, int64_t n, float limit);

}  // namespace lockstep
