// Access to one slot of the paged KV cache on the device, in the layout of kernels/kv_layout.h,
// which suits a GPU as well: K has keys side by side (a thread is a key), V has dims side by side
// (a thread is a dim). The bytes of a KV block are the same on every back end.
#pragma once

#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/float16.cuh"
#include "kernels/kv_layout.h"

namespace lockstep::cuda {

// KvPages, with the strides that addressing needs.
struct KvParams {
  std::byte* data = nullptr;
  int64_t block_bytes = 0;
  int64_t k_head_bytes = 0;  // bytes of K of one head in one KV block
  int64_t v_head_bytes = 0;
  int n_blocks = 0;
  int block_size = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
};

inline KvParams kv_params(const KvPages& kv) {
  return {kv.data,
          kv.block_bytes,
          k_head_bytes(kv.dtype, kv.block_size, kv.head_dim),
          v_head_bytes(kv.dtype, kv.block_size, kv.head_dim),
          static_cast<int>(kv.n_blocks),
          kv.block_size,
          kv.n_kv_heads,
          kv.head_dim};
}

// K or V of one head in one KV block: value d of a slot lies at d * dim_stride + slot *
// slot_stride. The scale of a q8_0 value lies there with d / 32 for d, counted from the end of the
// values.
struct Plane {
  std::byte* data;
  int n_values;  // block_size * head_dim
  int dim_stride, slot_stride, scale_slot_stride;

  __device__ int at(int slot, int d) const { return d * dim_stride + slot * slot_stride; }
  __device__ unsigned short* scale(int slot, int d) const {
    auto* scales = reinterpret_cast<unsigned short*>(data + n_values);
    return scales + d / kBlockLen * dim_stride + slot * scale_slot_stride;
  }
};

__device__ inline std::byte* k_of_head(const KvParams& kv, int64_t block, int head) {
  return kv.data + block * kv.block_bytes + head * kv.k_head_bytes;
}
__device__ inline std::byte* v_of_head(const KvParams& kv, int64_t block, int head) {
  return kv.data + block * kv.block_bytes + kv.n_kv_heads * kv.k_head_bytes +
         head * kv.v_head_bytes;
}

__device__ inline Plane k_plane(const KvParams& kv, int64_t block, int head) {
  std::byte* data = k_of_head(kv, block, head);
  return {data, kv.block_size * kv.head_dim, kv.block_size, 1, 1};
}

__device__ inline Plane v_plane(const KvParams& kv, int64_t block, int head) {
  std::byte* data = v_of_head(kv, block, head);
  return {data, kv.block_size * kv.head_dim, 1, kv.head_dim, kv.head_dim / kBlockLen};
}

// One head in one KV block of k16v8 or k16v16.
struct WholePlane {
  float* k_scales;  // [ceil(head_dim / 32)][block_size]
  std::byte* k;     // i16 [head_dim / 2][block_size][2]
  float* v_scales;  // [block_size]
  std::byte* v;     // i8 or i16 [block_size][head_dim]
};
__device__ inline WholePlane whole_plane(const KvParams& kv, int64_t block, int head) {
  std::byte* k = k_of_head(kv, block, head);
  std::byte* v = v_of_head(kv, block, head);
  const int scale_bytes = kv.block_size * static_cast<int>(sizeof(float));
  const int n_k_scales = (kv.head_dim + kBlockLen - 1) / kBlockLen;
  return {reinterpret_cast<float*>(k), k + n_k_scales * scale_bytes, reinterpret_cast<float*>(v),
          v + scale_bytes};
}

// A value of the cache, widened exactly (docs/numerics.md section 4, point 1).
template <DType dtype>
__device__ inline float load_kv(const Plane& plane, int slot, int d) {
  const int at = plane.at(slot, d);
  if constexpr (dtype == DType::kF32) {
    return reinterpret_cast<const float*>(plane.data)[at];
  } else if constexpr (dtype == DType::kF16) {
    return f16_value(reinterpret_cast<const unsigned short*>(plane.data)[at]);
  } else if constexpr (dtype == DType::kBF16) {
    return bf16_value(reinterpret_cast<const unsigned short*>(plane.data)[at]);
  } else {
    const auto q = reinterpret_cast<const int8_t*>(plane.data)[at];
    return f16_value(*plane.scale(slot, d)) * static_cast<float>(q);
  }
}

// Rounds the 32 values of a warp to int8 with one f16 scale. Warp lane i holds the value of a dim d
// with d % 32 = i.
__device__ inline void store_kv_q8(const Plane& plane, int slot, int d, float x) {
  const bool finite = fabsf(x) <= 0x1.fffffep127f;
  const bool broken = __any_sync(kAllLanes, finite ? 0 : 1) != 0;
  const float amax = warp_max_or_nan(fabsf(x));
  const unsigned short scale = broken ? static_cast<unsigned short>(0x7e00)
                                      : __half_as_ushort(__float2half_rn(amax / 127.0f));
  const float widened = f16_value(scale);
  const bool zeros = broken || widened == 0.0f || widened > 65504.0f;
  const float scaled = zeros ? 0.0f : x * (1.0f / widened);
  const float clamped = scaled < -127.0f ? -127.0f : scaled > 127.0f ? 127.0f : scaled;
  reinterpret_cast<int8_t*>(plane.data)[plane.at(slot, d)] = static_cast<int8_t>(rintf(clamped));
  if (d % kBlockLen == 0) *plane.scale(slot, d) = scale;
}

// Rounds x to the KV dtype and stores it. For q8_0 the 32 threads of a warp must call it together,
// and head_dim is a multiple of 32. For other dtypes, threads with d >= head_dim do nothing.
template <DType dtype>
__device__ inline void store_kv(const Plane& plane, int slot, int d, int head_dim, float x) {
  if constexpr (dtype == DType::kQ8_0) {
    store_kv_q8(plane, slot, d, x);
  } else if (d < head_dim) {
    const int at = plane.at(slot, d);
    if constexpr (dtype == DType::kF32) {
      reinterpret_cast<float*>(plane.data)[at] = x;
    } else if constexpr (dtype == DType::kF16) {
      reinterpret_cast<unsigned short*>(plane.data)[at] = __half_as_ushort(__float2half_rn(x));
    } else {
      reinterpret_cast<unsigned short*>(plane.data)[at] = bf16_bits(x);
    }
  }
}

// Calls fn.operator()<dtype>() for the dtype of the pages, which has floats or q8_0.
template <class Fn>
void for_float_kv(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::kF32:
      return fn.template operator()<DType::kF32>();
    case DType::kF16:
      return fn.template operator()<DType::kF16>();
    case DType::kBF16:
      return fn.template operator()<DType::kBF16>();
    default:
      CHECK(dtype == DType::kQ8_0);
      return fn.template operator()<DType::kQ8_0>();
  }
}

// The same for every dtype of pages.
template <class Fn>
void for_kv_dtype(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::kK16V8:
      return fn.template operator()<DType::kK16V8>();
    case DType::kK16V16:
      return fn.template operator()<DType::kK16V16>();
    default:
      return for_float_kv(dtype, fn);
  }
}

}  // namespace lockstep::cuda
