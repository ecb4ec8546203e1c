// RMSNorm, docs/numerics.md section 3.
#include <cmath>
#include <vector>

#include "kernels/reference/reference_ops.h"
#include "kernels/reference/strided_sum.h"

namespace lockstep::reference {

namespace {

// y may be x.
void norm(const float* x, const float* weight, int64_t n, float eps, float* y) {
  StridedSum squares;
  for (int64_t i = 0; i < n; ++i) squares.lane(i) = std::fma(x[i], x[i], squares.lane(i));
  const float mean = squares.total() / static_cast<float>(n);
  const float r = 1.0f / std::sqrt(mean + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] * r) * weight[i];
}

}  // namespace

void rms_norm(const RmsNormArgs& args) {
  const int64_t dim = args.x.row_size();
  std::vector<float> y(static_cast<size_t>(dim));
  for (int64_t token = 0; token < args.x.n_rows(); ++token) {
    norm(args.x.row<float>(token), args.weight.row<float>(0), dim, args.eps, y.data());
    if (args.out.f32) std::copy(y.begin(), y.end(), args.out.f32.row<float>(token));
    if (args.out.quantized.q) quantize_row(y.data(), dim, row_of(args.out.quantized, token));
  }
}

void head_norm(const HeadNormArgs& args) {
  const int64_t head_dim = args.x.shape[2];
  for (int64_t token = 0; token < args.x.n_rows(); ++token) {
    for (int64_t head = 0; head < args.x.shape[1]; ++head) {
      float* x = args.x.row<float>(token) + head * head_dim;
      norm(x, args.weight.row<float>(0), head_dim, args.eps, x);
    }
  }
}

}  // namespace lockstep::reference
