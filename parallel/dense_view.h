// The Views that collectives can carry: 4-byte values, row after row without gaps.
#pragma once

#include <cstdint>

#include "kernels/view.h"

namespace lockstep {

// The number of values in `v`. CHECKs that collectives can carry it.
inline int64_t dense_values(const View& v) {
  CHECK(v.dtype == DType::kF32 || v.dtype == DType::kI32);
  CHECK(v.n_dims >= 1 && (v.shape[0] <= 1 || v.row_stride == v.row_size()));
  return v.shape[0] * v.row_size();
}

}  // namespace lockstep
