#include "kernels/kv_layout.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/check.h"
#include "common/units.h"
#include "kernels/layout/fp16.h"
#include "kernels/math.h"

namespace lockstep {
namespace {

constexpr int64_t kBlockAlignment = 64;
constexpr int64_t kScaleBytes = sizeof(float);

constexpr int n_scales_of(int head_dim) { return (head_dim + kBlockLen - 1) / kBlockLen; }

// Quantises 32 values that share one scale, and returns the scale.
uint16_t quantize_kv_32(const float* x, int8_t* q) {
  float amax = 0.0f;
  bool finite = true;
  for (int i = 0; i < kBlockLen; ++i) {
    finite = finite && std::fabs(x[i]) <= std::numeric_limits<float>::max();
    amax = std::max(amax, std::fabs(x[i]));
  }
  std::fill(q, q + kBlockLen, int8_t{0});
  if (!finite) return f32_to_f16(std::numeric_limits<float>::quiet_NaN());
  const uint16_t scale = f32_to_f16(amax / 127.0f);
  const float widened = f16_to_f32(scale);
  if (widened == 0.0f || std::isinf(widened)) return scale;
  const float inverse = 1.0f / widened;
  for (int i = 0; i < kBlockLen; ++i) {
    const float scaled = std::clamp(x[i] * inverse, -127.0f, 127.0f);
    q[i] = static_cast<int8_t>(reference::rint_small(scaled));
  }
  return scale;
}

}  // namespace

int64_t k_head_bytes(DType dtype, int block_size, int head_dim) {
  const int64_t n = int64_t{block_size} * head_dim;
  switch (dtype) {
    case DType::kK16V8:
    case DType::kK16V16:
      CHECK_EQ(head_dim % 2, 0);
      return n * 2 + int64_t{block_size} * n_scales_of(head_dim) * kScaleBytes;
    case DType::kF32:
      return n * 4;
    case DType::kF16:
    case DType::kBF16:
      return n * 2;
    case DType::kQ8_0:
      CHECK_EQ(head_dim % kBlockLen, 0);
      return n + n / kBlockLen * 2;
    case DType::kI32:
    case DType::kU8:
      break;
  }
  check_failed(__FILE__, __LINE__, "not a KV dtype", std::to_string(static_cast<int>(dtype)));
}

int64_t v_head_bytes(DType dtype, int block_size, int head_dim) {
  if (!is_whole_number_kv(dtype)) return k_head_bytes(dtype, block_size, head_dim);
  const int64_t value_bytes = dtype == DType::kK16V8 ? 1 : 2;
  // Rounded up, because the scales of the next head follow.
  return round_up(block_size * (kScaleBytes + head_dim * value_bytes), kScaleBytes);
}

int64_t kv_block_bytes(DType dtype, int block_size, int n_kv_heads, int head_dim) {
  const int64_t n_bytes = n_kv_heads * (k_head_bytes(dtype, block_size, head_dim) +
                                        v_head_bytes(dtype, block_size, head_dim));
  return round_up(n_bytes, kBlockAlignment);
}

KvHeadBlock kv_head_block(const KvPages& kv, int64_t block, int head) {
  const int64_t k_bytes = k_head_bytes(kv.dtype, kv.block_size, kv.head_dim);
  const int64_t v_bytes = v_head_bytes(kv.dtype, kv.block_size, kv.head_dim);
  std::byte* page = kv.data + block * kv.block_bytes;
  return {page + head * k_bytes, page + kv.n_kv_heads * k_bytes + head * v_bytes};
}

WholeHeadBlock whole_head_block(const KvPages& kv, int64_t block, int head) {
  const KvHeadBlock at = kv_head_block(kv, block, head);
  const int64_t n_k_scales = int64_t{n_scales_of(kv.head_dim)} * kv.block_size;
  return {reinterpret_cast<float*>(at.k),
          reinterpret_cast<int16_t*>(at.k + n_k_scales * kScaleBytes),
          reinterpret_cast<float*>(at.v), at.v + kv.block_size * kScaleBytes};
}

float quantize_whole(const float* x, int n, float q_max, int16_t* q) {
  float amax = 0.0f;
  bool finite = true;
  for (int i = 0; i < n; ++i) {
    finite = finite && std::fabs(x[i]) <= std::numeric_limits<float>::max();
    amax = std::max(amax, std::fabs(x[i]));
  }
  std::fill(q, q + n, int16_t{0});
  if (!finite) return std::numeric_limits<float>::quiet_NaN();
  if (amax < 0x1p-96f) return 0.0f;
  const float inverse = q_max / amax;
  for (int i = 0; i < n; ++i) q[i] = static_cast<int16_t>(reference::rint_small(x[i] * inverse));
  return amax / q_max;
}

void quantize_kv_row(const float* x, int n, int8_t* q, uint16_t* scales) {
  for (int i = 0; i < n; i += kBlockLen) scales[i / kBlockLen] = quantize_kv_32(x + i, q + i);
}

float kv_finite_limit(DType dtype) {
  constexpr float kLargestF16 = 65504.0f;
  switch (dtype) {
    case DType::kF16:
      return kLargestF16 / 2;
    case DType::kQ8_0:  // the f16 scale is the largest of 32 magnitudes / 127
      return kLargestF16 * 127 / 2;
    default:  // bf16 has the exponents of f32
      return std::numeric_limits<float>::max() / 2;
  }
}

}  // namespace lockstep
