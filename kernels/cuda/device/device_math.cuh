// Shared parts of docs/numerics.md for kernels: exp, maxima, sums over the 32 warp lanes. All lanes
// of a warp must call a warp_* function together, and all of them get the result.
#pragma once

#include <cuda_runtime.h>

namespace lockstep::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr float kInfinity = __builtin_inff();

// A strided sum (docs/numerics.md section 0) is cut into chunks of this many values.
inline constexpr int kSumChunk = 1024;

// Checks an index or size that would make memory unsafe. If it is false, the device stops and the
// process ends with it.
__device__ inline void device_check(bool condition) {
  if (!condition) __trap();
}

// exp of docs/numerics.md section 3.
__device__ inline float contract_exp(float x) {
  if (x != x) return x;
  if (x < -87.0f) return 0.0f;
  if (x > 88.0f) return __int_as_float(0x7f800000);
  const float n = rintf(x * 0x1.715476p+0f);  // 1 / ln 2
  float r = fmaf(n, -0x1.62e4p-1f, x);        // ln 2 in two parts
  r = fmaf(n, -0x1.7f7d1cp-20f, r);
  float p = 0x1.6a23cap-10f;
  p = fmaf(p, r, 0x1.123a2p-7f);
  p = fmaf(p, r, 0x1.5558f2p-5f);
  p = fmaf(p, r, 0x1.555492p-3f);
  p = fmaf(p, r, 0x1.fffffcp-2f);
  p = fmaf(p, r * r, r);
  const float power_of_two = __int_as_float((static_cast<int>(n) + 127) << 23);
  return (p + 1.0f) * power_of_two;
}

// log of docs/numerics.md section 3, of a positive, finite and normal x.
__device__ inline float contract_log(float x) {
  const int bits = __float_as_int(x);
  const int exponent = (bits - 0x3f3504f3) >> 23;
  const float e = static_cast<float>(exponent);
  const float f = __int_as_float(bits - exponent * (1 << 23)) - 1.0f;
  const float s = f / (2.0f + f);
  const float z = s * s;
  float q = 0x1.e2fdd2p-3f;
  q = fmaf(q, z, 0x1.2438a8p-2f);
  q = fmaf(q, z, 0x1.999a7cp-2f);
  q = fmaf(q, z, 0x1.555554p-1f);
  const float half_square = 0.5f * f * f;
  const float t = s * fmaf(q, z, half_square);
  const float u = fmaf(e, 0x1.7f7d1cp-20f, t);
  return fmaf(e, 0x1.62e4p-1f, f - (half_square - u));
}

// NaN if either is.
__device__ inline float max_or_nan(float a, float b) {
  if (a != a || b != b) return a + b;
  return a > b ? a : b;
}

// The tree of neighbours over the values of the 32 warp lanes. On every level a warp lane adds the
// sum of its neighbour to its own. Since a + b = b + a, all of them end with the same bits.
__device__ inline float warp_tree_sum(float x) {
  for (int distance = 1; distance < 32; distance *= 2) {
    x = x + __shfl_xor_sync(kAllLanes, x, distance);
  }
  return x;
}

// The tree of neighbours over the values of the first n warp lanes. n is the same in all lanes.
__device__ inline float warp_tree_sum(float x, int n) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int distance = 1; distance < n; distance *= 2) {
    const float neighbour = __shfl_xor_sync(kAllLanes, x, distance);
    if ((lane | distance) < n) x = x + neighbour;  // else the odd last one passes up
  }
  return __shfl_sync(kAllLanes, x, 0);
}

__device__ inline float warp_max_or_nan(float x) {
  for (int distance = 1; distance < 32; distance *= 2) {
    x = max_or_nan(x, __shfl_xor_sync(kAllLanes, x, distance));
  }
  return x;
}

__device__ inline int warp_sum(int x) {
  for (int distance = 1; distance < 32; distance *= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}

}  // namespace lockstep::cuda
