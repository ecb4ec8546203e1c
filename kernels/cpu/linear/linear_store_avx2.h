// The end of a panel on AVX2: adds the bias and leaves out the padding rows.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/linear/linear_panel.h"

namespace lockstep {

// Writes the 16 sums of one token; rows 0-7 are in `low`.
[[gnu::always_inline]] inline void store_avx2(const PanelJob& job, int64_t token, __m256 low,
                                              __m256 high) {
  if (job.bias != nullptr) {
    low = _mm256_add_ps(low, _mm256_loadu_ps(job.bias));
    high = _mm256_add_ps(high, _mm256_loadu_ps(job.bias + 8));
  }
  float* out = job.out + token * job.out_stride;
  if (job.n_rows == kPanelRows) {
    _mm256_storeu_ps(out, low);
    _mm256_storeu_ps(out + 8, high);
    return;
  }
  alignas(32) float rows[kPanelRows];
  _mm256_store_ps(rows, low);
  _mm256_store_ps(rows + 8, high);
  for (int row = 0; row < job.n_rows; ++row) out[row] = rows[row];
}

}  // namespace lockstep
