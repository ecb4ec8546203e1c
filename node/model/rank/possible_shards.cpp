#include "node/model/rank/possible_shards.h"

#include "parallel/shard_plan.h"

namespace lockstep {

PossibleShards possible_shards(const ModelConfig& model) {
  PossibleShards shards;
  shards.n_attention_leaves = n_attention_leaves(model.shape);
  shards.n_ffn_leaves = n_ffn_leaves(model.shape);
  for (int n_ranks = 1; n_ranks <= kMaxLeaves; ++n_ranks) {
    if (make_shard_plan(model.shape, n_ranks)) shards.tensor_parallel_sizes.push_back(n_ranks);
  }
  return shards;
}

}  // namespace lockstep
