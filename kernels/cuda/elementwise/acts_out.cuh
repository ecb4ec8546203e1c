// The output of ops that end in activations (norms, silu_mul, quantize): f32, int8 per block of 32
// values (docs/numerics.md section 1), or both. A warp writes one block, a value per warp lane.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/ops.h"

namespace lockstep::cuda {

// Plain pointers, as a kernel's parameters have to be. f32 or q is null if it is not wanted.
struct ActsOut {
  float* f32 = nullptr;
  int8_t* q = nullptr;
  float* scale = nullptr;
  float* sum = nullptr;
  int32_t* q_sum = nullptr;
  int64_t f32_stride = 0, q_stride = 0, scale_stride = 0, sum_stride = 0, q_sum_stride = 0;
};

inline ActsOut acts_out(const Acts& acts) {
  const QuantizedActs& q = acts.quantized;
  return {static_cast<float*>(acts.f32.data),
          static_cast<int8_t*>(q.q.data),
          static_cast<float*>(q.scale.data),
          static_cast<float*>(q.sum.data),
          static_cast<int32_t*>(q.q_sum.data),
          acts.f32.row_stride,
          q.q.row_stride,
          q.scale.row_stride,
          q.sum.row_stride,
          q.q_sum.row_stride};
}

// Quantises the 32 values of a warp. All lanes must call it together.
__device__ inline void write_quantized(float x, const ActsOut& out, int64_t token, int block) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const float size = fabsf(x);
  const bool finite = size <= 0x1.fffffep127f;
  const bool broken = __any_sync(kAllLanes, finite ? 0 : 1) != 0;
  const float amax = warp_max_or_nan(size);
  const bool zeros = broken || amax < 0x1p-96f;
  const float scale = broken ? __int_as_float(0x7fc00000) : zeros ? 0.0f : amax / 127.0f;
  const int q = zeros ? 0 : static_cast<int>(rintf(x * (127.0f / amax)));
  const int q_sum = warp_sum(q);
  out.q[token * out.q_stride + block * kBlockLen + lane] = static_cast<int8_t>(q);
  if (lane == 0) {
    out.scale[token * out.scale_stride + block] = scale;
    out.q_sum[token * out.q_sum_stride + block] = q_sum;
    out.sum[token * out.sum_stride + block] = scale * static_cast<float>(q_sum);
  }
}

// Writes block `block` of a row of `dim` values in every form that is wanted; y is the value of
// this warp lane. Only f32 rows may end inside a block. All lanes must call it together.
__device__ inline void write_block(float y, const ActsOut& out, int64_t token, int block, int dim) {
  const int d = block * kBlockLen + static_cast<int>(threadIdx.x % kWarpSize);
  if (out.f32 != nullptr && d < dim) out.f32[token * out.f32_stride + d] = y;
  if (out.q != nullptr) write_quantized(y, out, token, block);
}

}  // namespace lockstep::cuda
