// quantize_row by instruction set, for ops that quantise their own result (rms_norm, silu_mul). n
// is a multiple of 32. Same bits as reference::quantize_row.
#pragma once

#include "kernels/quantized_row.h"

namespace lockstep {

using QuantizeRow = void (*)(const float* x, int64_t n, const QuantizedRow& out);

void quantize_row_portable(const float* x, int64_t n, const QuantizedRow& out);
void quantize_row_avx2(const float* x, int64_t n, const QuantizedRow& out);
void quantize_row_avx512(const float* x, int64_t n, const QuantizedRow& out);

}  // namespace lockstep
