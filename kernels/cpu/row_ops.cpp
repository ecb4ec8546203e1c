#include "kernels/cpu/row_ops.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/quantize.h"
#include "kernels/reference/reference_ops.h"

namespace lockstep {
namespace {

constexpr int64_t kMinValues = 16384;  // less is done before another thread is awake

int64_t min_rows(int64_t row_len) { return kMinValues / std::max<int64_t>(row_len, 1) + 1; }

void quantize_rows(const QuantizeArgs& args, ThreadTeam& team, QuantizeRow quantize_row) {
  const int64_t k = args.x.shape[1];
  team.run_ranges(args.x.n_rows(), min_rows(k), [&](int64_t begin, int64_t end, int /*thread*/) {
    for (int64_t t = begin; t < end; ++t) {
      quantize_row(args.x.row<float>(t), k, row_of(args.out, t));
    }
  });
}

// residual[0, n) += the tree over nodes[i][0, n) (+ bias). Works on pieces that stay in L1.
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
    // The running sum of the node that starts at layout index i, once it has been joined.
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

}  // namespace

void quantize_portable(const QuantizeArgs& args, ThreadTeam& team) {
  quantize_rows(args, team, quantize_row_portable);
}

void quantize_avx2(const QuantizeArgs& args, ThreadTeam& team) {
  quantize_rows(args, team, quantize_row_avx2);
}

void quantize_avx512(const QuantizeArgs& args, ThreadTeam& team) {
  quantize_rows(args, team, quantize_row_avx512);
}

void embed_rows(const EmbedArgs& args, ThreadTeam& team) {
  team.run_ranges(args.ids.shape[0], min_rows(args.table.k),
                  [&](int64_t begin, int64_t end, int /*thread*/) {
                    for (int64_t t = begin; t < end; ++t) reference::embed_token(args, t);
                  });
}

void add_partials_rows(const AddPartialsArgs& args, ThreadTeam& team) {
  const PartialsTree tree(args);
  team.run_ranges(args.residual.n_rows(), min_rows(args.residual.shape[1]),
                  [&](int64_t begin, int64_t end, int /*thread*/) {
                    for (int64_t t = begin; t < end; ++t) tree.add_to_residual(t);
                  });
}

void concat_columns_rows(const ConcatColumnsArgs& args, ThreadTeam& team) {
  team.run_ranges(args.out.n_rows(), min_rows(args.out.shape[1]),
                  [&](int64_t begin, int64_t end, int /*thread*/) {
                    for (int64_t t = begin; t < end; ++t) reference::concat_row(args, t);
                  });
}

}  // namespace lockstep
