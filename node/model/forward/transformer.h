// Transformer: the forward pass of one rank, written once against ops.h and driven by ModelConfig.
// A model family adds a table of tensors and fields of ModelConfig, not code paths here. Queues one
// StepPlan at a time on the rank's stream:
//
//   resolve tokens, embed, norm
//   each layer: AttentionBlock, FfnBlock
//   sampled rows only: output head, logits of all ranks side by side, sampling on rank 0
//
// The sum of a block over the ranks is RankPass::exchange() (the all-reduce of other engines):
// the partial sums of all ranks are gathered, every rank finishes the same tree and adds the sum to
// the residual. The norm of the residual is the input of the next matrix.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "node/model/forward/attention_block.h"
#include "node/model/forward/ffn_block.h"
#include "node/model/forward/rank_pass.h"

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
  // Copies the plan's cached_ids, which no row computes, into token_ids for the penalties.
  void write_cached_token_ids();
  CommResult embed_tokens();
  CommResult run_layer();
  CommResult run_head(const LogitsHook& on_logits);
  CommResult sample_rows(const View& logits);
  void record_samples();
  View token_ids() const;

  RankPass pass_;
  AttentionBlock attention_;
  FfnBlock ffn_;
  const Tree embedding_tree_;     // one leaf per rank; constant after construction
  std::vector<int64_t> n_vocab_;  // of each rank; likewise
  int layer_ = -1;                // -1 outside the layers
};

}  // namespace lockstep
