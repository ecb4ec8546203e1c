// Transformer: the forward pass of one rank, written once against ops.h and driven by ModelConfig.
// A model family adds fields to ModelConfig, not code paths here. Owns no memory: weights,
// activations and KV blocks belong to the Rank. Queues one StepPlan at a time on the rank's stream:
//
//   resolve tokens, embed, norm
//   each layer: qkv, check of k and v, copies of blocks, rope and store, attention, o, + norm,
//               gate_up, silu, down, + norm
//   sampled rows only: output head, logits of all ranks side by side, sampling on rank 0
//
// "+" is the exchange (the all-reduce of other engines): the partial sums of all ranks are
// gathered, every rank finishes the same tree and adds the sum to the residual. The norm of the
// residual is the input of the next matrix.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "node/kv/block_store.h"
#include "node/model/forward/step_slot.h"
#include "node/model/forward/workspace.h"
#include "node/model/weights/weights.h"
#include "parallel/communicator.h"

namespace lockstep {

// Receives the raw logits of a step's samples, [n_samples, vocab_size] f32 in device memory, when
// the stream may not have written them yet.
using LogitsHook = std::function<void(uint64_t step, const View& logits)>;

// Is called before each layer is queued, and may wait. The step ends if it does not return kOk.
using LayerGate = std::function<CommResult()>;

class Transformer {
 public:
  // References must outlive the object. cos_sin: of a RopeTable with every position of the limits.
  Transformer(const ModelConfig& model, const ShardPlan& plan, int rank, const StepLimits& limits,
              const RankWeights& weights, Workspace& workspace, const BlockStore& kv,
              const View& cos_sin, Stream& stream);

  // Queues one step, whose plan `slot` has uploaded as `inputs`. A result other than kOk means that
  // a collective or before_layer failed and the step has no result. on_logits, if set, is called on
  // rank 0. The outputs are in the slot's device memory; those of the samples on rank 0 only.
  CommResult run(const StepInputs& inputs, StepSlot& slot, Communicator& communicator,
                 const LayerGate& before_layer, const LogitsHook& on_logits);

  // The current or last op, for messages: "layer 3, attention".
  std::string where() const;

 private:
  // The layout of a sum over all ranks: each rank computes its subtrees, and every rank then
  // finishes the tree (docs/numerics.md).
  struct Tree {
    std::vector<Subtree> layout;  // [n_ranks * max_subtrees]
    int max_subtrees = 1;         // of one rank
    int n_leaves = 1;
  };

  // Copies the plan's cached_ids, which no row computes, into token_ids for the penalties.
  void write_cached_token_ids();
  CommResult embed_tokens();
  CommResult run_layer(int idx);
  void attend(int idx, const LayerWeights& layer);
  CommResult project_attention(const LayerWeights& layer, const View& attended,
                               const View& residual);
  CommResult feed_forward(const LayerWeights& layer, const View& residual, const View& next_norm);
  CommResult run_head(const LogitsHook& on_logits);
  CommResult sample_rows(const View& logits);
  void record_samples();

  // out = x W^T; the parts of `matrix` are side by side in rows of `stride` values.
  void multiply(const Matrix& matrix, const Acts& x, int64_t n_tokens, float* out, int64_t stride);
  // Computes one partial sum for each subtree that this rank owns, then runs the exchange.
  CommResult add_product(const Matrix& matrix, const Acts& x, const Tree& tree,
                         const View& residual, const View& next_norm);
  // Adds the ws_.partials of all ranks to the residual. Writes the residual's norm, weighted by
  // next_norm [dim], to ws_.normed, the input of the next matrix.
  CommResult exchange(const Tree& tree, const View& residual, const View& next_norm);
  View token_ids() const;
  bool is_last(int layer) const { return layer == model_.n_layers - 1; }
  void at(const char* op) { op_ = op; }

  // constant after construction
  const ModelConfig model_;
  const ShardPlan& plan_;
  const RankShard& shard_;
  const StepLimits limits_;
  const RankWeights& weights_;
  Workspace& ws_;
  const BlockStore& kv_;
  const View cos_sin_;
  const int64_t hidden_;
  const int64_t attended_dim_;  // this rank's query heads, side by side
  const int64_t kv_dim_;
  const float attention_scale_;
  const Tree attention_tree_;
  const Tree ffn_tree_;
  const Tree embedding_tree_;     // one leaf per rank
  std::vector<int64_t> n_vocab_;  // of each rank

  Stream& stream_;
  Communicator* communicator_ = nullptr;  // of the current step
  ForwardOutputs out_;                    // likewise
  StepInputs in_;                         // likewise
  const char* op_ = "start";
  int layer_ = -1;  // -1 outside the layers
};

}  // namespace lockstep
