// Stands in for the toolkit's <cuda_fp16.h>: what kernels/cuda uses of it.
#pragma once

#include "kernels/layout/fp16.h"

struct __half {
  unsigned short bits;
};

inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline unsigned short __half_as_ushort(__half h) { return h.bits; }
inline float __half2float(__half h) { return lockstep::f16_to_f32(h.bits); }
inline __half __float2half_rn(float x) { return {lockstep::f32_to_f16(x)}; }
