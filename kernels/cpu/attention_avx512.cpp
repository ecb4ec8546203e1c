#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace lockstep {

void attend_rows_avx512(const AttentionRows& rows) {
  simd::RowsAttention<simd::Avx512>(rows).run();
}

}  // namespace lockstep
