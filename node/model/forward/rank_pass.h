// RankPass: what the blocks of one rank's forward pass share: the rank's shard and memory, the
// step that is being queued, and the two ways in which every matrix of a layer is used. Owns no
// memory: weights, activations and KV blocks belong to the Rank. Used on the rank's thread.
#pragma once

#include <vector>

#include "node/kv/block_store.h"
#include "node/model/forward/step_slot.h"
#include "node/model/forward/workspace.h"
#include "node/model/weights/weights.h"
#include "parallel/communicator.h"

namespace lockstep {

// The layout of a sum over all ranks: each rank computes its subtrees, and every rank then finishes
// the tree (docs/numerics.md).
struct Tree {
  std::vector<Subtree> layout;  // [n_ranks * max_subtrees]
  int max_subtrees = 1;         // of one rank
  int n_leaves = 1;
};

// `n_columns` columns of each row of a wider matrix, beginning at `first`.
inline View columns_of(float* first, int64_t n_tokens, int64_t n_columns, int64_t stride) {
  View v = view(first, {n_tokens, n_columns});
  v.row_stride = stride;
  return v;
}

struct RankPass {
  // References must outlive the object. cos_sin: of a RopeTable with every position of the limits.
  RankPass(const ModelConfig& model, const ShardPlan& plan, int rank, const StepLimits& limits,
           const RankWeights& weights, Workspace& workspace, const BlockStore& kv,
           const View& cos_sin, Stream& stream);

  // out = x W^T; the parts of `matrix` are side by side in rows of `stride` values.
  void multiply(const Matrix& matrix, const Acts& x, int64_t n_tokens, float* out, int64_t stride);
  // Computes one partial sum for each subtree that this rank owns, then runs the exchange.
  CommResult add_product(const Matrix& matrix, const Acts& x, const Tree& tree,
                         const View& residual, const View& next_norm);
  // Adds the ws.partials of all ranks to the residual. Writes the residual's norm, weighted by
  // next_norm [dim], to ws.normed, the input of the next matrix.
  CommResult exchange(const Tree& tree, const View& residual, const View& next_norm);

  int n_ranks() const { return static_cast<int>(plan.ranks.size()); }
  bool is_last(int layer) const { return layer + 1 == model.n_layers(); }
  void at(const char* started) { op = started; }

  // constant after construction
  const ModelConfig model;
  const ShardPlan& plan;
  const RankShard& shard;
  const StepLimits limits;
  const RankWeights& weights;
  Workspace& ws;
  const BlockStore& kv;
  const View cos_sin;
  const int64_t hidden;
  Stream& stream;

  // of the current step
  Communicator* communicator = nullptr;
  ForwardOutputs out;
  StepInputs in;
  const char* op = "start";  // the current or last one, for messages
};

}  // namespace lockstep
