// The end of a row-parallel matrix (one that is split over the ranks by its input): the subtrees of
// all ranks are added in one tree, the sum is added to the residual, and the residual is normalised
// for the next matrix. docs/numerics.md sections 2 and 3.
#include <algorithm>

#include "kernels/reference/reference_ops.h"

namespace lockstep::reference {
namespace {

// One element of the sum of a tree node: the subtree of at most `width` leaves that starts at leaf
// `first`. The sum is a rank's partial if a rank sent this subtree, else the sum of its two halves.
float node_sum(const AddPartialsArgs& args, int first, int width, int64_t at) {
  const int n = std::min(width, args.n_leaves - first);
  for (size_t i = 0; i < args.layout.size(); ++i) {
    if (args.layout[i] == Subtree{first, n}) return args.partials.row<float>(i)[at];
  }
  const int half = width / 2;
  const float left = node_sum(args, first, half, at);
  if (first + half >= args.n_leaves) return left;  // an odd last one passes up unchanged
  return left + node_sum(args, first + half, half, at);
}

void add_partials(const AddPartialsArgs& args) {
  const int64_t dim = args.residual.shape[1];
  for (int64_t t = 0; t < args.residual.n_rows(); ++t) {
    float* residual = args.residual.row<float>(t);
    for (int64_t d = 0; d < dim; ++d) {
      float y = node_sum(args, 0, kMaxLeaves, t * dim + d);
      if (args.bias) y = y + args.bias.row<float>(0)[d];
      residual[d] = residual[d] + y;
    }
  }
}

}  // namespace

void add_rms_norm(const AddRmsNormArgs& args) {
  add_partials(args.add);
  rms_norm({.x = args.add.residual, .weight = args.weight, .eps = args.eps, .out = args.out});
}

}  // namespace lockstep::reference
