#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/cpu/elementwise/quantize.h"
#include "kernels/math.h"

namespace lockstep {
namespace {

constexpr uint32_t kInfinityBits = 0x7f800000u;

void put_zeros(float scale, float sum, int64_t b, const QuantizedRow& out) {
  std::fill_n(out.q + b * kBlockLen, kBlockLen, int8_t{0});
  out.scale[b] = scale;
  out.q_sum[b] = 0;
  out.sum[b] = sum;
}

void quantize_block(const float* x, int64_t b, const QuantizedRow& out) {
  // As integers, the bits of magnitudes have the order of the magnitudes, with Inf and NaN last.
  uint32_t max_bits = 0;
  for (int k = 0; k < kBlockLen; ++k) {
    max_bits = std::max(max_bits, std::bit_cast<uint32_t>(x[k]) & 0x7fffffffu);
  }
  if (max_bits >= kInfinityBits) {
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    return put_zeros(kNaN, kNaN, b, out);
  }
  const float amax = std::bit_cast<float>(max_bits);
  if (amax < 0x1p-96f) return put_zeros(0.0f, 0.0f, b, out);
  const float inverse = 127.0f / amax;
  int32_t q_sum = 0;
  for (int k = 0; k < kBlockLen; ++k) {
    const int32_t q = static_cast<int32_t>(reference::rint_small(x[k] * inverse));
    out.q[b * kBlockLen + k] = static_cast<int8_t>(q);
    q_sum += q;
  }
  out.scale[b] = amax / 127.0f;
  out.q_sum[b] = q_sum;
  out.sum[b] = out.scale[b] * static_cast<float>(q_sum);
}

}  // namespace

void quantize_row_portable(const float* x, int64_t n, const QuantizedRow& out) {
  for (int64_t b = 0; b < n / kBlockLen; ++b) quantize_block(x + b * kBlockLen, b, out);
}

}  // namespace lockstep
