#include <limits>

#include "bench/gpu/bit_cases.h"

namespace lockstep::gpu_check {
namespace {

struct NormCase {
  uint64_t seed;
  int64_t n_tokens, dim;
  std::vector<Subtree> layout;  // empty = rms_norm alone
  int n_leaves = 1;
  bool bias = false;
  bool broken = false;  // a NaN, an Inf, a row of zeros and one of tiny values

  std::string text() const {
    return "dim " + std::to_string(dim) + ", " + std::to_string(n_tokens) + " tokens, " +
           std::to_string(layout.size()) + " partials" + (bias ? ", bias" : "") +
           (broken ? ", broken values" : "");
  }
};

void break_rows(std::vector<float>& x, int64_t n_tokens, int64_t dim) {
  x[static_cast<size_t>(dim / 2)] = std::numeric_limits<float>::quiet_NaN();
  x[static_cast<size_t>(dim + 1)] = std::numeric_limits<float>::infinity();
  for (int64_t d = 0; d < dim; ++d) {
    x[static_cast<size_t>(2 * dim + d)] = 0.0f;
    // Values that, times 1 / sqrt(eps), are below or just above the limit of quantising to zeros.
    if (n_tokens > 3) x[static_cast<size_t>(3 * dim + d)] *= d < dim / 2 ? 0x1p-120f : 0x1p-102f;
  }
}

std::vector<Output> run(const NormCase& c, Side& side) {
  Random random(c.seed);
  const int64_t n = c.n_tokens * c.dim;
  std::vector<float> x = random.activations(n);
  if (c.broken) break_rows(x, c.n_tokens, c.dim);
  std::vector<float> weight = random.activations(c.dim), bias = random.activations(c.dim);
  std::vector<float> partials = random.activations(n * std::ssize(c.layout));
  std::vector<float> y(x.size(), -1.0f);
  std::vector<uint8_t> q(x.size(), 0x55);
  const int64_t n_blocks = c.dim / kBlockLen;
  std::vector<float> scale(static_cast<size_t>(c.n_tokens * n_blocks), -1.0f), sum = scale;
  std::vector<int32_t> q_sum(scale.size(), -1);

  Acts out{.f32 = side.out("y", y, {c.n_tokens, c.dim})};
  if (c.dim % kBlockLen == 0) {
    out.quantized = {side.out("q", q, {c.n_tokens, c.dim}),
                     side.out("scale", scale, {c.n_tokens, n_blocks}),
                     side.out("sum", sum, {c.n_tokens, n_blocks}),
                     side.out("q_sum", q_sum, {c.n_tokens, n_blocks})};
  }
  const View weights = side.in(weight, {c.dim});
  const View residual = side.out("residual", x, {c.n_tokens, c.dim});
  if (c.layout.empty()) {
    rms_norm({.x = residual, .weight = weights, .out = out}, side.stream());
  } else {
    AddPartialsArgs add{.partials = side.in(partials, {std::ssize(c.layout), c.n_tokens, c.dim}),
                        .layout = c.layout,
                        .n_leaves = c.n_leaves,
                        .residual = residual};
    if (c.bias) add.bias = side.in(bias, {c.dim});
    add_rms_norm({.add = add, .weight = weights, .out = out}, side.stream());
  }
  return side.outputs();
}

}  // namespace

std::vector<BitCase> norm_cases(Sizes sizes) {
  const std::vector<Subtree> whole{{0, 3}};
  const std::vector<Subtree> uneven{{4, 2}, {0, 0}, {2, 2}, {0, 2}, {6, 1}};  // of 7, with padding
  const std::vector<Subtree> leaves{{7, 1}, {6, 1}, {5, 1}, {4, 1}, {3, 1}, {2, 1}, {1, 1}, {0, 1}};
  std::vector<NormCase> cases = {
      {1, 3, 1, {}},
      {2, 5, 37, {}},
      {3, 5, 576, {}},
      {4, 5, 576, {}, 1, false, true},
      {5, 2, 5, whole, 3},
      {6, 5, 300, uneven, 7, true},
      {7, 5, 288, uneven, 7},
      {8, 5, 576, whole, 3, true},
      {9, 4, 64, leaves, 8, true, true},
      {13, 1, 2720, uneven, 7, true},  // more than a CUDA block takes at once
      {14, 2, 2051, whole, 3},
      {15, 2, 1024, {}},
      {16, 1, 17 * 1024 + 32, {}},  // more chunks than warps, an odd number of them
  };
  if (sizes == Sizes::kLarge) {
    cases.push_back({10, 64, 4096, leaves, 8});
    cases.push_back({11, 512, 2048, whole, 3});
    cases.push_back({12, 7, 16384, uneven, 7, true});
  }
  std::vector<BitCase> list;
  for (const NormCase& c : cases) {
    list.push_back({c.layout.empty() ? "rms_norm" : "add_rms_norm", c.text(),
                    [c](Side& side) { return run(c, side); }});
  }
  return list;
}

}  // namespace lockstep::gpu_check
