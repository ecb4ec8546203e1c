// The gated product silu(gate) * up, docs/numerics.md section 3.
#include <vector>

#include "kernels/math.h"
#include "kernels/reference/reference_ops.h"

namespace lockstep::reference {
namespace {

float silu(float x) { return x / (1.0f + exp(-x)); }

}  // namespace

void silu_mul(const SiluMulArgs& args) {
  const int64_t dim = args.gate.row_size();
  std::vector<float> y(static_cast<size_t>(dim));
  for (int64_t token = 0; token < args.gate.n_rows(); ++token) {
    const float* gate = args.gate.row<float>(token);
    const float* up = args.up.row<float>(token);
    for (int64_t i = 0; i < dim; ++i) y[static_cast<size_t>(i)] = silu(gate[i]) * up[i];
    if (args.out.f32) std::copy(y.begin(), y.end(), args.out.f32.row<float>(token));
    if (args.out.quantized.q) quantize_row(y.data(), dim, row_of(args.out.quantized, token));
  }
}

}  // namespace lockstep::reference
