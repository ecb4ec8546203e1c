// RMSNorm, docs/numerics.md section 3.
#include <cmath>
#include <vector>

#include "kernels/reference/reference_ops.h"
#include "kernels/reference/strided_sum.h"

namespace lockstep::reference {

void rms_norm(const RmsNormArgs& args) {
  const int64_t dim = args.x.row_size();
  const float* weight = args.weight.row<float>(0);
  std::vector<float> y(static_cast<size_t>(dim));
  for (int64_t token = 0; token < args.x.n_rows(); ++token) {
    const float* x = args.x.row<float>(token);
    StridedSum squares;
    for (int64_t i = 0; i < dim; ++i) squares.lane(i) = std::fma(x[i], x[i], squares.lane(i));
    const float mean = squares.total() / static_cast<float>(dim);
    const float r = 1.0f / std::sqrt(mean + args.eps);
    for (int64_t i = 0; i < dim; ++i) y[static_cast<size_t>(i)] = (x[i] * r) * weight[i];
    if (args.out.f32) std::copy(y.begin(), y.end(), args.out.f32.row<float>(token));
    if (args.out.quantized.q) quantize_row(y.data(), dim, row_of(args.out.quantized, token));
  }
}

}  // namespace lockstep::reference
