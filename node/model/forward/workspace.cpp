#include "node/model/forward/workspace.h"

#include <algorithm>

namespace lockstep {

namespace {

ActsBuffer take_acts(Arena& arena, int64_t n_tokens, int64_t k, bool f32, bool quantized) {
  ActsBuffer acts;
  if (f32) acts.f32 = arena.take_array<float>(n_tokens * k);
  if (quantized) {
    acts.q = arena.take_array<uint8_t>(n_tokens * k);
    acts.scale = arena.take_array<float>(n_tokens * k / kBlockLen);
    acts.sum = arena.take_array<float>(n_tokens * k / kBlockLen);
    acts.q_sum = arena.take_array<int32_t>(n_tokens * k / kBlockLen);
  }
  return acts;
}

// Whether `wants` is true of any matrix that reads the output of a norm.
template <class Predicate>
bool any_after_norm(const RankWeights& weights, Predicate wants) {
  if (wants(weights.head)) return true;
  for (const LayerWeights& layer : weights.layers) {
    if (wants(layer.qkv) || wants(layer.gate_up)) return true;
  }
  return false;
}

template <class Predicate>
bool any_layer(const RankWeights& weights, Matrix LayerWeights::*matrix, Predicate wants) {
  for (const LayerWeights& layer : weights.layers) {
    if (wants(layer.*matrix)) return true;
  }
  return false;
}

}  // namespace

Acts ActsBuffer::acts(int64_t n_tokens, int64_t k) const {
  Acts acts;
  if (f32 != nullptr) acts.f32 = view(f32, {n_tokens, k});
  if (q != nullptr) {
    const int64_t n_blocks = k / kBlockLen;
    acts.quantized = {.q = view(q, {n_tokens, k}),
                      .scale = view(scale, {n_tokens, n_blocks}),
                      .sum = view(sum, {n_tokens, n_blocks}),
                      .q_sum = view(q_sum, {n_tokens, n_blocks})};
  }
  return acts;
}

Workspace::Workspace(const ModelConfig& model, const ShardPlan& plan, int rank,
                     const RankWeights& weights, const StepLimits& limits, Device& device,
                     MemoryLedger& ledger)
    : memory(device, ledger, MemoryTag::kActivations, bytes(model, plan, rank, weights, limits)) {
  Arena arena(memory.data());
  lay_out(arena, model, plan, rank, weights, limits);
}

int64_t Workspace::bytes(const ModelConfig& model, const ShardPlan& plan, int rank,
                         const RankWeights& weights, const StepLimits& limits) {
  Arena counter;
  Workspace().lay_out(counter, model, plan, rank, weights, limits);
  return counter.bytes();
}

void Workspace::lay_out(Arena& arena, const ModelConfig& model, const ShardPlan& plan, int rank,
                        const RankWeights& weights, const StepLimits& limits) {
  const RankShard& shard = plan.ranks[static_cast<size_t>(rank)];
  const auto n_ranks = static_cast<int64_t>(plan.ranks.size());
  const int64_t n_tokens = limits.max_tokens;
  const int64_t n_samples = limits.max_samples;
  const int64_t n_rows = std::max(n_tokens, n_samples);
  const int64_t hidden = model.shape.hidden_dim;
  const int64_t attended_dim = int64_t{shard.n_heads} * model.shape.head_dim;
  const int64_t kv_dim = int64_t{shard.n_kv_heads} * model.shape.head_dim;
  const int64_t max_subtrees = std::max(plan.max_attention_subtrees, plan.max_ffn_subtrees);
  const auto f32 = [](const Matrix& m) { return m.reads_f32(); };
  const auto quantized = [](const Matrix& m) { return m.reads_quantized(); };

  token_ids = arena.take_array<int32_t>(int64_t{limits.max_seqs} * (limits.max_model_len + 1));
  tokens = arena.take_array<int32_t>(n_tokens);
  cached_tokens = arena.take_array<int32_t>(limits.max_cached_tokens());
  residual = arena.take_array<float>(n_tokens * hidden);
  sampled_residual = arena.take_array<float>(n_samples * hidden);
  normed = take_acts(arena, n_rows, hidden, any_after_norm(weights, f32),
                     any_after_norm(weights, quantized));
  partials = arena.take_array<float>(max_subtrees * n_rows * hidden);
  if (n_ranks > 1) gathered = arena.take_array<float>(n_ranks * max_subtrees * n_rows * hidden);

  const int64_t phases = arena.mark();
  qkv = arena.take_array<float>(n_tokens * (attended_dim + 2 * kv_dim));
  attended = arena.take_array<float>(n_tokens * attended_dim);
  sampled_attended = arena.take_array<float>(n_samples * attended_dim);
  quantized_attended = take_acts(arena, n_rows, attended_dim, false,
                                 any_layer(weights, &LayerWeights::o, quantized));

  arena.rewind(phases);
  gate_up = arena.take_array<float>(n_rows * 2 * shard.n_ffn);
  gated = take_acts(arena, n_rows, shard.n_ffn, any_layer(weights, &LayerWeights::down, f32),
                    any_layer(weights, &LayerWeights::down, quantized));

  arena.rewind(phases);
  if (n_ranks > 1) {
    logits_slice = arena.take_array<float>(n_samples * plan.max_vocab);
    gathered_logits = arena.take_array<float>(n_ranks * n_samples * plan.max_vocab);
  }
  logits = arena.take_array<float>(n_samples * model.shape.vocab_size);
}

}  // namespace lockstep
