#include "node/model/forward/transformer.h"

#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "common/log.h"
#include "kernels/kv_layout.h"

namespace lockstep {

namespace {

std::vector<Subtree> one_leaf_per_rank(size_t n_ranks) {
  std::vector<Subtree> layout;
  layout.reserve(n_ranks);
  for (size_t r = 0; r < n_ranks; ++r) layout.push_back({static_cast<int>(r), 1});
  return layout;
}

// A view of `n_heads` heads of each row of a wider matrix, beginning at `first`.
View heads_of(float* first, int64_t n_tokens, int64_t n_heads, int64_t head_dim, int64_t stride) {
  View v = view(first, {n_tokens, n_heads, head_dim});
  v.row_stride = stride;
  return v;
}

View columns_of(float* first, int64_t n_tokens, int64_t n_columns, int64_t stride) {
  View v = view(first, {n_tokens, n_columns});
  v.row_stride = stride;
  return v;
}

Acts reading(const Acts& x, WeightType type) {
  Acts read;
  if (is_quantized(type)) {
    read.quantized = x.quantized;
  } else {
    read.f32 = x.f32;
  }
  return read;
}

}  // namespace

Transformer::Transformer(const ModelConfig& model, const ShardPlan& plan, int rank,
                         const StepLimits& limits, const RankWeights& weights, Workspace& workspace,
                         const BlockStore& kv, const View& cos_sin, Stream& stream)
    : model_(model),
      plan_(plan),
      shard_(plan.ranks[static_cast<size_t>(rank)]),
      limits_(limits),
      weights_(weights),
      ws_(workspace),
      kv_(kv),
      cos_sin_(cos_sin),
      hidden_(model.shape.hidden_dim),
      attended_dim_(int64_t{shard_.n_heads} * model.shape.head_dim),
      kv_dim_(int64_t{shard_.n_kv_heads} * model.shape.head_dim),
      attention_scale_(static_cast<float>(1.0 / std::sqrt(double(model.shape.head_dim)))),
      attention_tree_{plan.attention_layout(), plan.max_attention_subtrees,
                      shard_.attention.n_total},
      ffn_tree_{plan.ffn_layout(), plan.max_ffn_subtrees, shard_.ffn.n_total},
      embedding_tree_{one_leaf_per_rank(plan.ranks.size()), 1, static_cast<int>(plan.ranks.size())},
      stream_(stream) {
  for (const RankShard& r : plan.ranks) n_vocab_.push_back(r.n_vocab);
}

CommResult Transformer::run(const StepInputs& inputs, StepSlot& slot, Communicator& communicator,
                            const LayerGate& before_layer, const LogitsHook& on_logits) {
  CHECK(inputs.n_tokens <= limits_.max_tokens && inputs.n_samples <= limits_.max_samples);
  communicator_ = &communicator;
  in_ = inputs;
  out_ = slot.outputs();
  if (in_.n_tokens == 0) return CommResult::kOk;
  layer_ = -1;
  stream_.fill({.data = reinterpret_cast<std::byte*>(out_.kv_finite),
                .value = 1,
                .row_bytes = in_.n_tokens});
  if (auto r = embed_tokens(); r != CommResult::kOk) return r;
  for (layer_ = 0; layer_ < model_.n_layers; ++layer_) {
    if (auto r = before_layer(); r != CommResult::kOk) return r;
    if (auto r = run_layer(layer_); r != CommResult::kOk) return r;
    slot.layer_launched(layer_);
  }
  layer_ = -1;
  return in_.n_samples == 0 ? CommResult::kOk : run_head(on_logits);
}

// resolve_tokens() writes known ids to token_ids; its other output is not used here.
void Transformer::write_cached_token_ids() {
  if (in_.n_cached == 0) return;
  resolve_tokens({.ids = in_.cached_ids,
                  .seq_slots = in_.cached_seq_slots,
                  .positions = in_.cached_positions,
                  .token_ids = token_ids(),
                  .tokens = view(ws_.cached_tokens, {in_.n_cached})},
                 stream_);
}

CommResult Transformer::embed_tokens() {
  at("token resolution");
  write_cached_token_ids();
  const View tokens = view(ws_.tokens, {in_.n_tokens});
  resolve_tokens({.ids = in_.tokens,
                  .seq_slots = in_.seq_slots,
                  .positions = in_.positions,
                  .token_ids = token_ids(),
                  .tokens = tokens},
                 stream_);
  at("embedding");
  const View residual = view(ws_.residual, {in_.n_tokens, hidden_});
  EmbedArgs args{
      .ids = tokens, .table = weights_.embedding, .first_row = shard_.first_vocab, .out = residual};
  if (plan_.ranks.size() == 1) {
    embed(args, stream_);
    rms_norm({.x = residual,
              .weight = weights_.layers.front().attention_norm,
              .eps = model_.rms_eps,
              .out = ws_.normed.acts(in_.n_tokens, hidden_)},
             stream_);
    return CommResult::kOk;
  }
  // Each rank gives the rows of its part of the vocabulary and zeros for other ids, so any tree
  // over the ranks gives the row itself. The row is added to a residual of zeros, which the first
  // embed() writes: its first_row is past the vocabulary, so no id is found.
  args.first_row = model_.shape.vocab_size;
  embed(args, stream_);
  args.first_row = shard_.first_vocab;
  args.out = view(ws_.partials, {in_.n_tokens, hidden_});
  embed(args, stream_);
  return exchange(embedding_tree_, residual, weights_.layers.front().attention_norm);
}

CommResult Transformer::run_layer(int idx) {
  const LayerWeights& layer = weights_.layers[static_cast<size_t>(idx)];
  attend(idx, layer);
  View attended = view(ws_.attended, {in_.n_tokens, attended_dim_});
  View residual = view(ws_.residual, {in_.n_tokens, hidden_});
  if (is_last(idx)) {
    // From here on only the sampled rows are read.
    if (in_.n_samples == 0) return CommResult::kOk;
    at("gather of sampled rows");
    const View all_attended = attended, all_residual = residual;
    attended = view(ws_.sampled_attended, {in_.n_samples, attended_dim_});
    residual = view(ws_.sampled_residual, {in_.n_samples, hidden_});
    gather_rows({.x = all_attended, .rows = in_.sample_rows, .out = attended}, stream_);
    gather_rows({.x = all_residual, .rows = in_.sample_rows, .out = residual}, stream_);
  }
  if (auto r = project_attention(layer, attended, residual); r != CommResult::kOk) return r;
  const View& next_norm = is_last(idx)
                              ? weights_.output_norm
                              : weights_.layers[static_cast<size_t>(idx) + 1].attention_norm;
  return feed_forward(layer, residual, next_norm);
}

// Writes ws_.attended, unless this is the last layer of a step without samples: such a layer only
// stores keys and values.
void Transformer::attend(int idx, const LayerWeights& layer) {
  at("qkv");
  const int64_t n = in_.n_tokens;
  const int64_t stride = attended_dim_ + 2 * kv_dim_;
  multiply(layer.qkv, ws_.normed.acts(n, hidden_), n, ws_.qkv, stride);

  at("check of keys and values");
  float* const k = ws_.qkv + attended_dim_;
  const KvPages pages = kv_.pages(idx);
  finite_rows({.x = columns_of(k, n, 2 * kv_dim_, stride),
               .limit = kv_finite_limit(pages.dtype),
               .finite = view(out_.kv_finite, {n})},
              stream_);

  at("rope");
  const int64_t head_dim = model_.shape.head_dim;
  const View q = heads_of(ws_.qkv, n, shard_.n_heads, head_dim, stride);
  if (in_.n_copies > 0) {
    copy_blocks({.kv = pages, .from = in_.copies_from, .to = in_.copies_to}, stream_);
  }
  rope_store({.q = q,
              .k = heads_of(k, n, shard_.n_kv_heads, head_dim, stride),
              .v = heads_of(k + kv_dim_, n, shard_.n_kv_heads, head_dim, stride),
              .positions = in_.positions,
              .slot_mapping = in_.slot_mapping,
              .cos_sin = cos_sin_,
              .style = model_.rope_style,
              .kv = pages},
             stream_);
  if (is_last(idx) && in_.n_samples == 0) return;

  at("attention");
  attention({.q = q,
             .kv = pages,
             .positions = in_.positions,
             .seq_of_token = in_.seq_of_token,
             .block_tables = in_.block_tables,
             .scale = attention_scale_,
             .out = view(ws_.attended, {n, attended_dim_})},
            stream_);
}

CommResult Transformer::project_attention(const LayerWeights& layer, const View& attended,
                                          const View& residual) {
  at("attention output");
  Acts x = ws_.quantized_attended.acts(attended.n_rows(), attended_dim_);
  if (layer.o.reads_quantized()) quantize({.x = attended, .out = x.quantized}, stream_);
  x.f32 = attended;
  return add_product(layer.o, x, attention_tree_, residual, layer.ffn_norm);
}

CommResult Transformer::feed_forward(const LayerWeights& layer, const View& residual,
                                     const View& next_norm) {
  at("gate and up");
  const int64_t n = residual.n_rows();
  const int64_t stride = 2 * shard_.n_ffn;
  multiply(layer.gate_up, ws_.normed.acts(n, hidden_), n, ws_.gate_up, stride);
  at("silu");
  const Acts gated = ws_.gated.acts(n, shard_.n_ffn);
  silu_mul({.gate = columns_of(ws_.gate_up, n, shard_.n_ffn, stride),
            .up = columns_of(ws_.gate_up + shard_.n_ffn, n, shard_.n_ffn, stride),
            .out = gated},
           stream_);
  at("down");
  return add_product(layer.down, gated, ffn_tree_, residual, next_norm);
}

CommResult Transformer::run_head(const LogitsHook& on_logits) {
  at("output head");
  const int64_t n = in_.n_samples;
  const Acts normed = ws_.normed.acts(n, hidden_);
  const View logits = view(ws_.logits, {n, model_.shape.vocab_size});
  if (plan_.ranks.size() == 1) {
    multiply(weights_.head, normed, n, ws_.logits, model_.shape.vocab_size);
  } else {
    multiply(weights_.head, normed, n, ws_.logits_slice, plan_.max_vocab);
    const auto n_ranks = static_cast<int64_t>(plan_.ranks.size());
    const View all = view(ws_.gathered_logits, {n_ranks, n, plan_.max_vocab});
    auto r =
        communicator_->all_gather(view(ws_.logits_slice, {1, n, plan_.max_vocab}), all, stream_);
    if (r != CommResult::kOk) return r;
    concat_columns({.parts = all, .n_cols = n_vocab_, .out = logits}, stream_);
  }
  if (communicator_->rank() == 0 && on_logits) {
    at("logits hook");
    on_logits(in_.step, logits);
  }
  return sample_rows(logits);
}

// Rank 0 samples and broadcasts the ids, so that token_ids stays equal on all ranks.
CommResult Transformer::sample_rows(const View& logits) {
  at("sampling");
  const int64_t n = in_.n_samples;
  const View ids = view(out_.ids, {n});
  if (communicator_->rank() == 0) {
    sample({.logits = logits,
            .rows = in_.sampling,
            .banned = in_.banned,
            .needs = in_.needs,
            .token_ids = token_ids(),
            .ids = ids,
            .logprobs = view(out_.logprobs, {n}),
            .top_ids = view(out_.top_ids, {n, kMaxTopLogprobs}),
            .top_logprobs = view(out_.top_logprobs, {n, kMaxTopLogprobs}),
            .finite = view(out_.finite, {n})},
           stream_);
  }
  if (plan_.ranks.size() > 1) {
    if (auto r = communicator_->broadcast(ids, 0, stream_); r != CommResult::kOk) return r;
    if (communicator_->rank() != 0) record_samples();
  }
  return CommResult::kOk;
}

// On ranks other than 0: resolve_tokens() writes the sampled ids to token_ids.
void Transformer::record_samples() {
  const View ids = view(out_.ids, {in_.n_samples});
  resolve_tokens({.ids = ids,
                  .seq_slots = in_.sample_seq_slots,
                  .positions = in_.sample_positions,
                  .token_ids = token_ids(),
                  .tokens = ids},
                 stream_);
}

void Transformer::multiply(const Matrix& matrix, const Acts& x, int64_t n_tokens, float* out,
                           int64_t stride) {
  for (const Matrix::Part& part : matrix.parts) {
    linear({.x = reading(x, part.weights.type),
            .weights = part.weights,
            .bias = part.bias,
            .out = view(out + part.first_row, {1, n_tokens, part.weights.n_rows}),
            .out_token_stride = stride},
           stream_);
  }
}

CommResult Transformer::add_product(const Matrix& matrix, const Acts& x, const Tree& tree,
                                    const View& residual, const View& next_norm) {
  const PackedWeights& weights = matrix.parts.front().weights;
  int64_t n_owned = 0;
  for (int i = 0; i < tree.max_subtrees; ++i) {
    const int at = communicator_->rank() * tree.max_subtrees + i;
    n_owned += tree.layout[static_cast<size_t>(at)].n > 0;
  }
  linear({.x = reading(x, weights.type),
          .weights = weights,
          .bias = {},
          .out = view(ws_.partials, {n_owned, residual.n_rows(), hidden_})},
         stream_);
  return exchange(tree, residual, next_norm);
}

CommResult Transformer::exchange(const Tree& tree, const View& residual, const View& next_norm) {
  const int64_t n_tokens = residual.n_rows();
  View partials = view(ws_.partials, {tree.max_subtrees, n_tokens, hidden_});
  if (plan_.ranks.size() > 1) {
    const auto n_all = static_cast<int64_t>(tree.layout.size());
    const View all = view(ws_.gathered, {n_all, n_tokens, hidden_});
    if (auto r = communicator_->all_gather(partials, all, stream_); r != CommResult::kOk) return r;
    partials = all;
  }
  add_rms_norm({.add = {.partials = partials,
                        .layout = tree.layout,
                        .n_leaves = tree.n_leaves,
                        .bias = {},
                        .residual = residual},
                .weight = next_norm,
                .eps = model_.rms_eps,
                .out = ws_.normed.acts(n_tokens, hidden_)},
               stream_);
  return CommResult::kOk;
}

View Transformer::token_ids() const {
  return view(ws_.token_ids, {limits_.max_seqs, int64_t{limits_.max_model_len} + 1});
}

std::string Transformer::where() const {
  return layer_ < 0 ? std::string(op_) : str("layer ", layer_, ", ", op_);
}

}  // namespace lockstep
