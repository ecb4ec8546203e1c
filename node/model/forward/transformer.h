// Transformer: the forward pass of one rank, written once against ops.h and driven by ModelConfig;
// families add facts there, not loops here. Runs one StepPlan at a time on the rank's thread:
//
//   resolve tokens, embed, norm
//   per layer: qkv, check of k and v, rope and store, attention, o, + norm, gate_up, silu, down,
//              + norm
//   of the sampled rows: output head, logits of all ranks side by side, sample on rank 0
//
// "+" is the exchange: every rank's partial sums are gathered, all ranks finish the same tree and
// add it to the residual; the norm of what that gives is the next matrix's input.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "node/kv/block_store.h"
#include "node/model/forward/forward_faults.h"
#include "node/model/forward/workspace.h"
#include "node/model/weights/weights.h"
#include "node/step/step_plan.h"
#include "parallel/communicator.h"

namespace lockstep {

// Raw logits of a step's samples, [n_samples, vocab_size], before the sampler touches them.
using LogitsHook = std::function<void(uint64_t step, std::span<const float> logits)>;

class Transformer {
 public:
  // References must outlive the object. cos_sin: RopeTable's, for every position of the limits.
  Transformer(const ModelConfig& model, const ShardPlan& plan, int rank, const StepLimits& limits,
              const RankWeights& weights, Workspace& workspace, const BlockStore& kv,
              const View& cos_sin, Stream& stream, const ForwardFaults& faults);

  // Runs one step. Anything but kOk: a collective failed, and the step has no result. The hook, if
  // there is one, is called on rank 0. Samples are in the workspace of rank 0.
  CommResult run(const StepPlanView& plan, Communicator& communicator, const LogitsHook& on_logits);

  // The op under way, or the last one: "layer 3, attention".
  std::string where() const;

 private:
  // What the ops read of the plan under way.
  struct Inputs {
    int64_t n_tokens = 0;
    int64_t n_samples = 0;
    int64_t n_copies = 0;
    View copies_from, copies_to;
    View positions, rotated_by, seen_up_to;  // all three the same but for fault points
    View seq_of_token, slots, block_tables, sample_rows;
  };

  // A sum that all ranks finish together, from the subtrees that each of them owns.
  struct Tree {
    std::vector<Subtree> layout;  // [n_ranks * max_subtrees]
    int max_subtrees = 1;         // of one rank
    int n_leaves = 1;
  };

  // The penalties of later tokens count the tokens that no row forwards too.
  void write_cached_token_ids(const StepPlanView& plan);
  CommResult embed_tokens(const StepPlanView& plan);
  CommResult run_layer(int idx);
  void attend(int idx, const LayerWeights& layer);
  CommResult project_attention(const LayerWeights& layer, const View& attended,
                               const View& residual);
  CommResult feed_forward(const LayerWeights& layer, const View& residual, const View& next_norm);
  CommResult run_head(const StepPlanView& plan, const LogitsHook& on_logits);
  CommResult sample_rows(const StepPlanView& plan, const View& logits);
  void record_samples(const StepPlanView& plan);

  // y = x W^T of every part, side by side in rows of `stride` values.
  void multiply(const Matrix& matrix, const Acts& x, int64_t n_tokens, float* out, int64_t stride);
  // One partial sum per subtree of the matrix that this rank owns, then the exchange.
  CommResult add_product(const Matrix& matrix, const Acts& x, const Tree& tree,
                         const View& residual, const View& next_norm);
  // Adds everybody's ws_.partials to the residual and leaves its norm, weighted by next_norm [dim],
  // in ws_.normed, from which the next matrix reads.
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
  Communicator* communicator_ = nullptr;  // of the step under way
  Inputs in_;
  const char* op_ = "start";
  int layer_ = -1;  // -1 outside the layers
  uint64_t step_ = 0;
  ForwardFaults faults_;
};

}  // namespace lockstep
