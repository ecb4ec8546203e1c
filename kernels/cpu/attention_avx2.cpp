#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/simd_avx2.h"

namespace lockstep {

void attend_rows_avx2(const AttentionRows& rows) { simd::RowsAttention<simd::Avx2>(rows).run(); }

}  // namespace lockstep
