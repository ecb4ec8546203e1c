// How a model can be cut, for people who have to choose --tensor-parallel-size.
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
