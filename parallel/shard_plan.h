// ShardPlan: which leaves, heads, FFN columns and vocabulary rows each rank of a tensor-parallel
// group owns. Integers only: a function of the model's shape and the number of ranks. The number of
// leaves depends on the shape alone (docs/numerics.md section 2).
#pragma once

#include <cstdint>
#include <vector>

#include "common/result.h"
#include "kernels/layout/leaves.h"

namespace lockstep {

struct ModelShape {
  int64_t hidden_dim = 0;
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  int64_t ffn_dim = 0;
  int64_t vocab_size = 0;
};

// Leaves of the attention output: the largest n <= 8 that cuts the query heads into n equal runs,
// each a multiple of 32 values wide and either inside one GQA group or made of whole groups. (A
// GQA group is the query heads that share one KV head.)
int n_attention_leaves(const ModelShape& shape);
// Leaves of the FFN down matrix: the largest n <= 8 that divides the number of its 32-value blocks.
int n_ffn_leaves(const ModelShape& shape);

struct RankShard {
  LeafRange attention;  // leaves of the attention output
  int first_head = 0, n_heads = 0;
  int first_kv_head = 0, n_kv_heads = 0;  // two ranks that need the same KV head both have it
  LeafRange ffn;
  int64_t first_ffn = 0, n_ffn = 0;      // columns of gate and up
  int64_t first_vocab = 0, n_vocab = 0;  // rows of the embedding and the output head
};

struct ShardPlan {
  ModelShape shape;
  std::vector<RankShard> ranks;
  int max_attention_subtrees = 1;  // most subtrees of any rank; exchanges are padded to it
  int max_ffn_subtrees = 1;
  int64_t max_vocab = 0;

  // The layout of the all-gather: [n_ranks * max_subtrees]; n == 0 marks padding.
  std::vector<Subtree> attention_layout() const;
  std::vector<Subtree> ffn_layout() const;
};

// Errors: kModelLoadFailed for more ranks than leaves (the message names both numbers), and for
// shapes that have no legal cut.
Result<ShardPlan> make_shard_plan(const ModelShape& shape, int n_ranks);

}  // namespace lockstep
