// PartialsTree: adds the partials of all ranks to the residual, one row at a time, in the order of
// the tree of leaves (docs/numerics.md section 2).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/layout/leaves.h"
#include "kernels/ops.h"

namespace lockstep {

// residual[0, n) += the tree over nodes[i][0, n) (+ bias), in pieces that stay in the L1 cache.
class PartialsTree {
 public:
  explicit PartialsTree(const AddPartialsArgs& args)
      : args_(args), plan_(plan_joins(args.layout, args.n_leaves)) {}

  void add_to_residual(int64_t token) const {
    const int64_t dim = args_.residual.shape[1];
    for (int64_t first = 0; first < dim; first += kPiece) {
      add_piece(token, first, std::min(kPiece, dim - first));
    }
  }

 private:
  static constexpr int64_t kPiece = 128;

  void add_piece(int64_t token, int64_t first, int64_t n) const {
    const int64_t at = token * args_.residual.shape[1] + first;
    // By node of the join plan: its running sum, once it has been joined.
    std::array<std::array<float, kPiece>, kMaxLeaves> sums;
    std::array<const float*, kMaxLeaves> nodes;
    for (int i = 0; i < plan_.n_nodes; ++i) {
      nodes[i] = args_.partials.row<float>(plan_.nodes[i]) + at;
    }
    for (int j = 0; j < plan_.n_joins; ++j) {
      const Join join = plan_.joins[j];
      const float* left = nodes[join.into];
      const float* right = nodes[join.from];
      float* sum = sums[join.into].data();
      for (int64_t d = 0; d < n; ++d) sum[d] = left[d] + right[d];
      nodes[join.into] = sum;
    }
    const float* y = nodes[0];
    float* residual = args_.residual.row<float>(token) + first;
    if (!args_.bias) {
      for (int64_t d = 0; d < n; ++d) residual[d] = residual[d] + y[d];
      return;
    }
    const float* bias = args_.bias.row<float>(0) + first;
    for (int64_t d = 0; d < n; ++d) residual[d] = residual[d] + (y[d] + bias[d]);
  }

  const AddPartialsArgs& args_;
  const JoinPlan plan_;
};

}  // namespace lockstep
