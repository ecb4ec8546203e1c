#include "node/model/forward/ffn_block.h"

namespace lockstep {

FfnBlock::FfnBlock(RankPass& pass)
    : pass_(pass),
      tree_{pass.plan.ffn_layout(), pass.plan.max_ffn_subtrees, pass.shard.ffn.n_total} {}

CommResult FfnBlock::run(int layer, const View& residual, const View& next_norm) {
  pass_.at("gate and up");
  const LayerWeights& weights = pass_.weights.layers[static_cast<size_t>(layer)];
  const int64_t n = residual.n_rows();
  const int64_t n_ffn = pass_.shard.n_ffn;
  const int64_t stride = 2 * n_ffn;
  pass_.multiply(weights.gate_up, pass_.ws.normed.acts(n, pass_.hidden), n, pass_.ws.gate_up,
                 stride);
  pass_.at("silu");
  const Acts gated = pass_.ws.gated.acts(n, n_ffn);
  silu_mul({.gate = columns_of(pass_.ws.gate_up, n, n_ffn, stride),
            .up = columns_of(pass_.ws.gate_up + n_ffn, n, n_ffn, stride),
            .out = gated},
           pass_.stream);
  pass_.at("down");
  return pass_.add_product(weights.down, gated, tree_, residual, next_norm);
}

}  // namespace lockstep
