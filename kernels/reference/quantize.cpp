// Quantised activations, docs/numerics.md section 1.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/reference_ops.h"

namespace lockstep::reference {
namespace {

// Writes block `b` of the row as zeros with the given scale.
void put_zeros(float scale, int64_t b, const QuantizedRow& out) {
  std::fill_n(out.q + b * kBlockLen, kBlockLen, int8_t{0});
  out.scale[b] = scale;
  out.q_sum[b] = 0;
  out.sum[b] = std::isnan(scale) ? scale : 0.0f;
}

void quantize_block(const float* x, int64_t b, const QuantizedRow& out) {
  float amax = 0.0f;
  for (int k = 0; k < kBlockLen; ++k) {
    if (!std::isfinite(x[k])) return put_zeros(std::numeric_limits<float>::quiet_NaN(), b, out);
    amax = std::max(amax, std::fabs(x[k]));
  }
  if (amax < 0x1p-96f) return put_zeros(0.0f, b, out);
  const float scale = amax / 127.0f;
  const float inverse = 127.0f / amax;
  int32_t q_sum = 0;
  for (int k = 0; k < kBlockLen; ++k) {
    const float q = std::rint(x[k] * inverse);
    out.q[b * kBlockLen + k] = static_cast<int8_t>(q);
    q_sum += static_cast<int32_t>(q);
  }
  out.scale[b] = scale;
  out.q_sum[b] = q_sum;
  out.sum[b] = scale * static_cast<float>(q_sum);
}

}  // namespace

void quantize_row(const float* x, int64_t n, const QuantizedRow& out) {
  for (int64_t b = 0; b < n / kBlockLen; ++b) quantize_block(x + b * kBlockLen, b, out);
}

void quantize(const QuantizeArgs& args) {
  for (int64_t t = 0; t < args.x.n_rows(); ++t) {
    quantize_row(args.x.row<float>(t), args.x.shape[1], row_of(args.out, t));
  }
}

}  // namespace lockstep::reference
