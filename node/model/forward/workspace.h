// Workspace: the memory of one rank's activations on its device, sized once from StepLimits; no
// step allocates. Attention, feed-forward and the output head are never live at the same time and
// share memory. Used by the rank's thread.
//
//   | token_ids | residual … partials (all phases) | attention: qkv, attended |
//   |           |                                  | FFN: gate_up, gated      |
//   |           |                                  | head: logits             |
#pragma once

#include <cstdint>

#include "kernels/device.h"
#include "node/model/model_config.h"
#include "node/model/weights/arena.h"
#include "node/model/weights/weights.h"
#include "node/step/step_plan.h"

namespace lockstep {

// Memory for one activation as f32, as int8, or as both, as the weights that read it need.
struct ActsBuffer {
  float* f32 = nullptr;
  uint8_t* q = nullptr;
  float* scale = nullptr;
  float* sum = nullptr;
  int32_t* q_sum = nullptr;

  Acts acts(int64_t n_tokens, int64_t k) const;
};

struct Workspace {
  Workspace(const ModelConfig& model, const ShardPlan& plan, int rank, const RankWeights& weights,
            const StepLimits& limits, Device& device, MemoryLedger& ledger);
  // The bytes that the constructor allocates.
  static int64_t bytes(const ModelConfig& model, const ShardPlan& plan, int rank,
                       const RankWeights& weights, const StepLimits& limits);

  DeviceBuffer memory;
  // [max_seqs, max_model_len + 1], by seq_slot; kept from step to step
  int32_t* token_ids = nullptr;

  // all phases; `rows` = max(max_tokens, max_samples)
  int32_t* tokens = nullptr;          // [max_tokens]
  int32_t* cached_tokens = nullptr;   // [max_cached_tokens]; written and never read
  float* residual = nullptr;          // [max_tokens, hidden_dim]
  float* sampled_residual = nullptr;  // [max_samples, hidden_dim]
  ActsBuffer normed;                  // [rows, hidden_dim]
  float* partials = nullptr;          // [max_subtrees, rows, hidden_dim]
  float* gathered = nullptr;  // [n_ranks * max_subtrees, rows, hidden_dim]; null with one rank

  // attention
  float* qkv = nullptr;               // [max_tokens, (n_heads + 2 * n_kv_heads) * head_dim]
  float* attended = nullptr;          // [max_tokens, n_heads * head_dim]
  float* sampled_attended = nullptr;  // [max_samples, n_heads * head_dim]
  ActsBuffer quantized_attended;      // [rows, n_heads * head_dim]

  // feed-forward
  float* gate_up = nullptr;  // [rows, 2 * n_ffn]
  ActsBuffer gated;          // [rows, n_ffn]

  // output head
  float* logits_slice = nullptr;     // [max_samples, max_vocab]; null with one rank
  float* gathered_logits = nullptr;  // [n_ranks, max_samples, max_vocab]; null with one rank
  float* logits = nullptr;           // [max_samples, vocab_size]

 private:
  Workspace() = default;
  void lay_out(Arena& arena, const ModelConfig& model, const ShardPlan& plan, int rank,
               const RankWeights& weights, const StepLimits& limits);
};

}  // namespace lockstep
