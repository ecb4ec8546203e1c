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

int64_t kv_head_bytes(DType dtype, int block_size, int head_dim) {
  const int64_t n = int64_t{block_size} * head_dim;
  switch (dtype) {
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

int64_t kv_block_bytes(DType dtype, int block_size, int n_kv_heads, int head_dim) {
  const int64_t n_bytes = 2 * n_kv_heads * kv_head_bytes(dtype, block_size, head_dim);
  return round_up(n_bytes, kBlockAlignment);
}

KvHeadBlock kv_head_block(const KvPages& kv, int64_t block, int head) {
  const int64_t head_bytes = kv_head_bytes(kv.dtype, kv.block_size, kv.head_dim);
  std::byte* k = kv.data + block * kv.block_bytes + head * head_bytes;
  return {k, k + kv.n_kv_heads * head_bytes};
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
