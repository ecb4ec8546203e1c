#include "kernels/reference/kv_slots.h"

#include <algorithm>
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

// The index of dim d of the key at `offset` among the values of K.
int64_t whole_k_at(const KvPages& kv, int64_t offset, int64_t d) {
  return (d / 2 * kv.block_size + offset) * 2 + d % 2;
}

void store_whole_slot(const KvPages& kv, int64_t slot, int head, const float* k, const float* v) {
  const WholeHeadBlock at = whole_head_block(kv, slot / kv.block_size, head);
  const int64_t offset = slot % kv.block_size;
  std::vector<int16_t> q(static_cast<size_t>(kv.head_dim));
  for (int d = 0; d < kv.head_dim; d += kBlockLen) {
    const int n = std::min<int>(kBlockLen, kv.head_dim - d);
    at.k_scales[d / kBlockLen * kv.block_size + offset] =
        quantize_whole(k + d, n, kMaxWholeKey, q.data() + d);
  }
  for (int d = 0; d < kv.head_dim; ++d) {
    at.k[whole_k_at(kv, offset, d)] = q[static_cast<size_t>(d)];
  }
  at.v_scales[offset] = quantize_whole(v, kv.head_dim, max_whole_value(kv.dtype), q.data());
  for (int d = 0; d < kv.head_dim; ++d) {
    const int64_t i = offset * kv.head_dim + d;
    if (kv.dtype == DType::kK16V8) {
      reinterpret_cast<int8_t*>(at.v)[i] = static_cast<int8_t>(q[static_cast<size_t>(d)]);
    } else {
      reinterpret_cast<int16_t*>(at.v)[i] = q[static_cast<size_t>(d)];
    }
  }
}

}  // namespace

WholeSlot load_whole_slot(const KvPages& kv, int64_t slot, int head) {
  const WholeHeadBlock at = whole_head_block(kv, slot / kv.block_size, head);
  const int64_t offset = slot % kv.block_size;
  WholeSlot out;
  for (int d = 0; d < kv.head_dim; d += kBlockLen) {
    out.k_scales.push_back(at.k_scales[d / kBlockLen * kv.block_size + offset]);
  }
  out.v_scale = at.v_scales[offset];
  for (int d = 0; d < kv.head_dim; ++d) {
    const int64_t i = offset * kv.head_dim + d;
    out.k.push_back(at.k[whole_k_at(kv, offset, d)]);
    out.v.push_back(kv.dtype == DType::kK16V8 ? reinterpret_cast<int8_t*>(at.v)[i]
                                              : reinterpret_cast<int16_t*>(at.v)[i]);
  }
  return out;
}

void store_slot(const KvPages& kv, int64_t slot, int head, const float* k, const float* v) {
  if (is_whole_number_kv(kv.dtype)) return store_whole_slot(kv, slot, head, k, v);
  store_row(k_plane(kv, slot, head), kv.head_dim, k);
  store_row(v_plane(kv, slot, head), kv.head_dim, v);
}

void load_slot(const KvPages& kv, int64_t slot, int head, float* k, float* v) {
  if (is_whole_number_kv(kv.dtype)) {
    const WholeSlot whole = load_whole_slot(kv, slot, head);
    for (size_t d = 0; d < whole.k.size(); ++d) {
      k[d] = whole.k_scales[d / kBlockLen] * static_cast<float>(whole.k[d]);
      v[d] = whole.v_scale * static_cast<float>(whole.v[d]);
    }
    return;
  }
  for (int d = 0; d < kv.head_dim; ++d) {
    k[d] = load_value(k_plane(kv, slot, head), d);
    v[d] = load_value(v_plane(kv, slot, head), d);
  }
}

}  // namespace lockstep::reference
