#include "node/model/forward/rank_pass.h"

namespace lockstep {

namespace {

Acts reading(const Acts& x, WeightType type) {
  Acts read;
  if (is_quantized(type)) {
    read.quantized = x.quantized;
  } else {
    read.f32 = x.f32;
  }
  return read;
}

}  // namespace

RankPass::RankPass(const ModelConfig& model_config, const ShardPlan& shard_plan, int rank,
                   const StepLimits& step_limits, const RankWeights& rank_weights,
                   Workspace& workspace, const BlockStore& block_store, const View& rope_table,
                   Stream& rank_stream)
    : model(model_config),
      plan(shard_plan),
      shard(shard_plan.ranks[static_cast<size_t>(rank)]),
      limits(step_limits),
      weights(rank_weights),
      ws(workspace),
      kv(block_store),
      cos_sin(rope_table),
      hidden(model_config.shape.hidden_dim),
      stream(rank_stream) {}

void RankPass::multiply(const Matrix& matrix, const Acts& x, int64_t n_tokens, float* to,
                        int64_t stride) {
  for (const Matrix::Part& part : matrix.parts) {
    linear({.x = reading(x, part.weights.type),
            .weights = part.weights,
            .bias = part.bias,
            .out = view(to + part.first_row, {1, n_tokens, part.weights.n_rows}),
            .out_token_stride = stride},
           stream);
  }
}

CommResult RankPass::add_product(const Matrix& matrix, const Acts& x, const Tree& tree,
                                 const View& residual, const View& next_norm) {
  const PackedWeights& packed = matrix.parts.front().weights;
  int64_t n_owned = 0;
  for (int i = 0; i < tree.max_subtrees; ++i) {
    const int idx = communicator->rank() * tree.max_subtrees + i;
    n_owned += tree.layout[static_cast<size_t>(idx)].n > 0;
  }
  linear({.x = reading(x, packed.type),
          .weights = packed,
          .bias = {},
          .out = view(ws.partials, {n_owned, residual.n_rows(), hidden})},
         stream);
  return exchange(tree, residual, next_norm);
}

CommResult RankPass::exchange(const Tree& tree, const View& residual, const View& next_norm) {
  const int64_t n_tokens = residual.n_rows();
  View partials = view(ws.partials, {tree.max_subtrees, n_tokens, hidden});
  if (n_ranks() > 1) {
    const auto n_all = static_cast<int64_t>(tree.layout.size());
    const View all = view(ws.gathered, {n_all, n_tokens, hidden});
    if (auto r = communicator->all_gather(partials, all, stream); r != CommResult::kOk) return r;
    partials = all;
  }
  add_rms_norm({.add = {.partials = partials,
                        .layout = tree.layout,
                        .n_leaves = tree.n_leaves,
                        .bias = {},
                        .residual = residual},
                .weight = next_norm,
                .eps = model.rms_eps,
                .out = ws.normed.acts(n_tokens, hidden)},
               stream);
  return CommResult::kOk;
}

}  // namespace lockstep
