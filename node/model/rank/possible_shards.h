// PossibleShards: the tensor-parallel sizes that a model can be cut into. `lockstep inspect` prints
// them for the operator who chooses --tensor-parallel-size. Plain data.
#pragma once

#include <vector>

#include "node/model/model_config.h"

namespace lockstep {

struct PossibleShards {
  int n_attention_leaves = 0;
  int n_ffn_leaves = 0;
  std::vector<int> tensor_parallel_sizes;  // ascending
};

PossibleShards possible_shards(const ModelConfig& model);

}  // namespace lockstep
