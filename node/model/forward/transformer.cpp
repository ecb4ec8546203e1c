#include "node/model/forward/transformer.h"

#include "common/check.h"
#include "common/log.h"

namespace lockstep {

namespace {

std::vector<Subtree> one_leaf_per_rank(size_t n_ranks) {
  std::vector<Subtree> layout;
  layout.reserve(n_ranks);
  for (size_t r = 0; r < n_ranks; ++r) layout.push_back({static_cast<int>(r), 1});
  return layout;
}

}  // namespace

Transformer::Transformer(const ModelConfig& model, const ShardPlan& plan, int rank,
                         const StepLimits& limits, const RankWeights& weights, Workspace& workspace,
                         const BlockStore& kv, const View& cos_sin, Stream& stream)
    : pass_(model, plan, rank, limits, weights, workspace, kv, cos_sin, stream),
      attention_(pass_),
      ffn_(pass_),
      embedding_tree_{one_leaf_per_rank(plan.ranks.size()), 1,
                      static_cast<int>(plan.ranks.size())} {
  for (const RankShard& r : plan.ranks) n_vocab_.push_back(r.n_vocab);
}

CommResult Transformer::run(const StepInputs& inputs, StepSlot& slot, Communicator& communicator,
                            const LayerGate& before_layer, const LogitsHook& on_logits) {
  CHECK(inputs.n_tokens <= pass_.limits.max_tokens && inputs.n_samples <= pass_.limits.max_samples);
  pass_.communicator = &communicator;
  pass_.in = inputs;
  pass_.out = slot.outputs();
  if (pass_.in.n_tokens == 0) return CommResult::kOk;
  layer_ = -1;
  pass_.stream.fill({.data = reinterpret_cast<std::byte*>(pass_.out.kv_finite),
                     .value = 1,
                     .row_bytes = pass_.in.n_tokens});
  if (auto r = embed_tokens(); r != CommResult::kOk) return r;
  for (layer_ = 0; layer_ < pass_.model.n_layers(); ++layer_) {
    if (auto r = before_layer(); r != CommResult::kOk) return r;
    if (auto r = run_layer(); r != CommResult::kOk) return r;
    slot.layer_launched(layer_);
  }
  layer_ = -1;
  return pass_.in.n_samples == 0 ? CommResult::kOk : run_head(on_logits);
}

// resolve_tokens() writes known ids to token_ids; its other output is not used here.
void Transformer::write_cached_token_ids() {
  if (pass_.in.n_cached == 0) return;
  resolve_tokens({.ids = pass_.in.cached_ids,
                  .seq_slots = pass_.in.cached_seq_slots,
                  .positions = pass_.in.cached_positions,
                  .token_ids = token_ids(),
                  .tokens = view(pass_.ws.cached_tokens, {pass_.in.n_cached})},
                 pass_.stream);
}

CommResult Transformer::embed_tokens() {
  pass_.at("token resolution");
  write_cached_token_ids();
  const View tokens = view(pass_.ws.tokens, {pass_.in.n_tokens});
  resolve_tokens({.ids = pass_.in.tokens,
                  .seq_slots = pass_.in.seq_slots,
                  .positions = pass_.in.positions,
                  .token_ids = token_ids(),
                  .tokens = tokens},
                 pass_.stream);
  pass_.at("embedding");
  const View residual = view(pass_.ws.residual, {pass_.in.n_tokens, pass_.hidden});
  EmbedArgs args{.ids = tokens,
                 .table = pass_.weights.embedding,
                 .first_row = pass_.shard.first_vocab,
                 .out = residual};
  if (pass_.n_ranks() == 1) {
    embed(args, pass_.stream);
    rms_norm({.x = residual,
              .weight = pass_.weights.layers.front().attention_norm,
              .eps = pass_.model.rms_eps,
              .out = pass_.ws.normed.acts(pass_.in.n_tokens, pass_.hidden)},
             pass_.stream);
    return CommResult::kOk;
  }
  // Each rank gives the rows of its part of the vocabulary and zeros for other ids, so any tree
  // over the ranks gives the row itself. The row is added to a residual of zeros, which the first
  // embed() writes: its first_row is past the vocabulary, so no id is found.
  args.first_row = pass_.model.shape.vocab_size;
  embed(args, pass_.stream);
  args.first_row = pass_.shard.first_vocab;
  args.out = view(pass_.ws.partials, {pass_.in.n_tokens, pass_.hidden});
  embed(args, pass_.stream);
  return pass_.exchange(embedding_tree_, residual, pass_.weights.layers.front().attention_norm);
}

CommResult Transformer::run_layer() {
  const bool is_last = pass_.is_last(layer_);
  const bool only_store = is_last && pass_.in.n_samples == 0;
  attention_.attend(layer_, only_store);
  if (only_store) return CommResult::kOk;
  const int64_t attended_dim = attention_.attended_dim();
  View attended = view(pass_.ws.attended, {pass_.in.n_tokens, attended_dim});
  View residual = view(pass_.ws.residual, {pass_.in.n_tokens, pass_.hidden});
  if (is_last) {
    // From here on only the sampled rows are read.
    pass_.at("gather of sampled rows");
    const View all_attended = attended, all_residual = residual;
    attended = view(pass_.ws.sampled_attended, {pass_.in.n_samples, attended_dim});
    residual = view(pass_.ws.sampled_residual, {pass_.in.n_samples, pass_.hidden});
    gather_rows({.x = all_attended, .rows = pass_.in.sample_rows, .out = attended}, pass_.stream);
    gather_rows({.x = all_residual, .rows = pass_.in.sample_rows, .out = residual}, pass_.stream);
  }
  if (auto r = attention_.project(layer_, attended, residual); r != CommResult::kOk) return r;
  const View& next_norm =
      is_last ? pass_.weights.output_norm
              : pass_.weights.layers[static_cast<size_t>(layer_) + 1].attention_norm;
  return ffn_.run(layer_, residual, next_norm);
}

CommResult Transformer::run_head(const LogitsHook& on_logits) {
  pass_.at("output head");
  const int64_t n = pass_.in.n_samples;
  const Acts normed = pass_.ws.normed.acts(n, pass_.hidden);
  const View logits = view(pass_.ws.logits, {n, pass_.model.shape.vocab_size});
  if (pass_.n_ranks() == 1) {
    pass_.multiply(pass_.weights.head, normed, n, pass_.ws.logits, pass_.model.shape.vocab_size);
  } else {
    pass_.multiply(pass_.weights.head, normed, n, pass_.ws.logits_slice, pass_.plan.max_vocab);
    const auto n_ranks = int64_t{pass_.n_ranks()};
    const View all = view(pass_.ws.gathered_logits, {n_ranks, n, pass_.plan.max_vocab});
    auto r = pass_.communicator->all_gather(
        view(pass_.ws.logits_slice, {1, n, pass_.plan.max_vocab}), all, pass_.stream);
    if (r != CommResult::kOk) return r;
    concat_columns({.parts = all, .n_cols = n_vocab_, .out = logits}, pass_.stream);
  }
  if (pass_.communicator->rank() == 0 && on_logits) {
    pass_.at("logits hook");
    on_logits(pass_.in.step, logits);
  }
  return sample_rows(logits);
}

// Rank 0 samples and broadcasts the ids, so that token_ids stays equal on all ranks.
CommResult Transformer::sample_rows(const View& logits) {
  pass_.at("sampling");
  const int64_t n = pass_.in.n_samples;
  const View ids = view(pass_.out.ids, {n});
  if (pass_.communicator->rank() == 0) {
    sample({.logits = logits,
            .rows = pass_.in.sampling,
            .banned = pass_.in.banned,
            .needs = pass_.in.needs,
            .token_ids = token_ids(),
            .ids = ids,
            .logprobs = view(pass_.out.logprobs, {n}),
            .top_ids = view(pass_.out.top_ids, {n, kMaxTopLogprobs}),
            .top_logprobs = view(pass_.out.top_logprobs, {n, kMaxTopLogprobs}),
            .finite = view(pass_.out.finite, {n})},
           pass_.stream);
  }
  if (pass_.n_ranks() > 1) {
    if (auto r = pass_.communicator->broadcast(ids, 0, pass_.stream); r != CommResult::kOk)
      return r;
    if (pass_.communicator->rank() != 0) record_samples();
  }
  return CommResult::kOk;
}

// On ranks other than 0: resolve_tokens() writes the sampled ids to token_ids.
void Transformer::record_samples() {
  const View ids = view(pass_.out.ids, {pass_.in.n_samples});
  resolve_tokens({.ids = ids,
                  .seq_slots = pass_.in.sample_seq_slots,
                  .positions = pass_.in.sample_positions,
                  .token_ids = token_ids(),
                  .tokens = ids},
                 pass_.stream);
}

View Transformer::token_ids() const {
  return view(pass_.ws.token_ids, {pass_.limits.max_seqs, int64_t{pass_.limits.max_model_len} + 1});
}

std::string Transformer::where() const {
  return layer_ < 0 ? std::string(pass_.op) : str("layer ", layer_, ", ", pass_.op);
}

}  // namespace lockstep
