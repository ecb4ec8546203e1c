// QuantizedRow: the destination of one row of int8 activations (docs/numerics.md section 1), for
// all back ends. Ops that quantise their result (quantize, rms_norm, silu_mul) pass it to the
// quantize_row() of their back end. Plain pointers; it owns nothing.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace lockstep {

// A row has n values; n is a multiple of 32.
struct QuantizedRow {
  int8_t* q;       // [n]
  float* scale;    // [n / 32]
  float* sum;      // [n / 32]: scale * q_sum
  int32_t* q_sum;  // [n / 32]
};

inline QuantizedRow row_of(const QuantizedActs& acts, int64_t token) {
  return {acts.q.row<int8_t>(token), acts.scale.row<float>(token), acts.sum.row<float>(token),
          acts.q_sum.row<int32_t>(token)};
}

}  // namespace lockstep
