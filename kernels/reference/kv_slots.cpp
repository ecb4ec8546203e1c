#include "kernels/reference/kv_slots.h"

#include <vector>

#include "kernels/kv_layout.h"
#include "kernels/layout/fp16.h"

namespace lockstep::reference {
namespace {

// K or V of one head in one KV block. Value d of a slot lies at d * dim_stride + offset *
// slot_stride; the scale of a q8_0 value lies at the same place with d / 32 instead of d.
struct Plane {
  std::byte* data;
  DType dtype;
  int64_t n_values;  // block_size * head_dim
  int64_t at(int64_t d) const { return d * dim_stride + first; }
  int64_t scale_at(int64_t d) const { return d / kBlockLen * dim_stride + scale_first; }
  int64_t first, dim_stride, scale_first;

  uint16_t* scales() const { return reinterpret_cast<uint16_t*>(data + n_values); }
  template <class T>
  T& value(int64_t d) const {
    return reinterpret_cast<T*>(data)[at(d)];
  }
};

Plane k_plane(const KvPages& kv, int64_t slot, int head) {
  const int64_t offset = slot % kv.block_size;
  std::byte* data = kv_head_block(kv, slot / kv.block_size, head).k;
  const int64_t n_values = int64_t{kv.block_size} * kv.head_dim;
  return {data, kv.dtype, n_values, offset, kv.block_size, offset};
}

Plane v_plane(const KvPages& kv, int64_t slot, int head) {
  const int64_t offset = slot % kv.block_size;
  std::byte* data = kv_head_block(kv, slot / kv.block_size, head).v;
  const int64_t n_values = int64_t{kv.block_size} * kv.head_dim;
  return {data, kv.dtype, n_values, offset * kv.head_dim, 1, offset * (kv.head_dim / kBlockLen)};
}

void store_q8(const Plane& plane, int head_dim, const float* x) {
  std::vector<int8_t> q(static_cast<size_t>(head_dim));
  std::vector<uint16_t> scales(static_cast<size_t>(head_dim / kBlockLen));
  quantize_kv_row(x, head_dim, q.data(), scales.data());
  for (int d = 0; d < head_dim; ++d) plane.value<int8_t>(d) = q[static_cast<size_t>(d)];
  for (int d = 0; d < head_dim; d += kBlockLen) {
    plane.scales()[plane.scale_at(d)] = scales[static_cast<size_t>(d / kBlockLen)];
  }
}

void store_row(const Plane& plane, int head_dim, const float* x) {
  if (plane.dtype == DType::kQ8_0) return store_q8(plane, head_dim, x);
  for (int d = 0; d < head_dim; ++d) {
    if (plane.dtype == DType::kF32) plane.value<float>(d) = x[d];
    if (plane.dtype == DType::kF16) plane.value<uint16_t>(d) = f32_to_f16(x[d]);
    if (plane.dtype == DType::kBF16) plane.value<uint16_t>(d) = f32_to_bf16(x[d]);
  }
}

float load_value(const Plane& plane, int d) {
  switch (plane.dtype) {
    case DType::kF16:
      return f16_to_f32(plane.value<uint16_t>(d));
    case DType::kBF16:
      return bf16_to_f32(plane.value<uint16_t>(d));
    case DType::kQ8_0:
      return f16_to_f32(plane.scales()[plane.scale_at(d)]) *
             static_cast<float>(plane.value<int8_t>(d));
    default:
      return plane.value<float>(d);
  }
}

}  // namespace

void store_slot(const KvPages& kv, int64_t slot, int head, const float* k, const float* v) {
  store_row(k_plane(kv, slot, head), kv.head_dim, k);
  store_row(v_plane(kv, slot, head), kv.head_dim, v);
}

void load_slot(const KvPages& kv, int64_t slot, int head, float* k, float* v) {
  for (int d = 0; d < kv.head_dim; ++d) {
    k[d] = load_value(k_plane(kv, slot, head), d);
    v[d] = load_value(v_plane(kv, slot, head), d);
  }
}

}  // namespace lockstep::reference
