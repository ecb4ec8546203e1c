// 16-bit floats as bits: widened exactly, narrowed to nearest even.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace lockstep::cuda {

__device__ inline float f16_value(unsigned short bits) {
  return __half2float(__ushort_as_half(bits));
}

__device__ inline float bf16_value(unsigned short bits) {
  return __int_as_float(static_cast<int>(static_cast<unsigned>(bits) << 16));
}

// Nearest even, like f32_to_bf16.
__device__ inline unsigned short bf16_bits(float x) {
  const unsigned bits = static_cast<unsigned>(__float_as_int(x));
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<unsigned short>(bits >> 16 | 0x40u);
  return static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace lockstep::cuda
