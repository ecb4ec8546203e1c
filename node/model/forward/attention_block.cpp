#include "node/model/forward/attention_block.h"

#include <cmath>

#include "kernels/kv_layout.h"

namespace lockstep {

namespace {

// A view of `n_heads` heads of each row of a wider matrix, beginning at `first`.
View heads_of(float* first, int64_t n_tokens, int64_t n_heads, int64_t head_dim, int64_t stride) {
  View v = view(first, {n_tokens, n_heads, head_dim});
  v.row_stride = stride;
  return v;
}

View without_pairs(View cos_sin) {
  cos_sin.shape[1] = 0;
  return cos_sin;
}

}  // namespace

AttentionBlock::AttentionBlock(RankPass& pass)
    : pass_(pass),
      head_dim_(pass.model.shape.head_dim),
      attended_dim_(pass.shard.n_heads * head_dim_),
      kv_dim_(pass.shard.n_kv_heads * head_dim_),
      row_stride_(attended_dim_ + 2 * kv_dim_),
      scale_(static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim_)))),
      unrotated_(without_pairs(pass.cos_sin)),
      tree_{pass.plan.attention_layout(), pass.plan.max_attention_subtrees,
            pass.shard.attention.n_total} {}

void AttentionBlock::attend(int layer, bool only_store) {
  pass_.at("qkv");
  const LayerConfig& config = pass_.model.layers[static_cast<size_t>(layer)];
  const LayerWeights& weights = pass_.weights.layers[static_cast<size_t>(layer)];
  const int64_t n = pass_.in.n_tokens;
  float* const first_k = pass_.ws.qkv + attended_dim_;
  const View q = heads_of(pass_.ws.qkv, n, pass_.shard.n_heads, head_dim_, row_stride_);
  const View k = heads_of(first_k, n, pass_.shard.n_kv_heads, head_dim_, row_stride_);
  const View v = heads_of(first_k + kv_dim_, n, pass_.shard.n_kv_heads, head_dim_, row_stride_);
  pass_.multiply(weights.qkv, pass_.ws.normed.acts(n, pass_.hidden), n, pass_.ws.qkv, row_stride_);
  if (pass_.model.qk_norm) norm_heads(weights, q, k);

  pass_.at("check of keys and values");
  const KvPages pages = pass_.kv.pages(layer);
  finite_rows({.x = columns_of(first_k, n, 2 * kv_dim_, row_stride_),
               .limit = kv_finite_limit(pages.dtype),
               .finite = view(pass_.out.kv_finite, {n})},
              pass_.stream);

  pass_.at("rope");
  if (pass_.in.n_copies > 0) {
    copy_blocks({.kv = pages, .from = pass_.in.copies_from, .to = pass_.in.copies_to},
                pass_.stream);
  }
  rope_store({.q = q,
              .k = k,
              .v = v,
              .positions = pass_.in.positions,
              .slot_mapping = pass_.in.slot_mapping,
              .cos_sin = config.rotates ? pass_.cos_sin : unrotated_,
              .style = pass_.model.rope_style,
              .kv = pages},
             pass_.stream);
  if (only_store) return;

  pass_.at("attention");
  attention({.q = q,
             .kv = pages,
             .positions = pass_.in.positions,
             .seq_of_token = pass_.in.seq_of_token,
             .block_tables = pass_.in.block_tables,
             .scale = scale_,
             .window = config.window,
             .out = view(pass_.ws.attended, {n, attended_dim_})},
            pass_.stream);
}

void AttentionBlock::norm_heads(const LayerWeights& weights, const View& q, const View& k) {
  pass_.at("norm of queries and keys");
  const float eps = pass_.model.rms_eps;
  head_norm({.x = q, .weight = weights.query_norm, .eps = eps}, pass_.stream);
  head_norm({.x = k, .weight = weights.key_norm, .eps = eps}, pass_.stream);
}

CommResult AttentionBlock::project(int layer, const View& attended, const View& residual) {
  pass_.at("attention output");
  const LayerWeights& weights = pass_.weights.layers[static_cast<size_t>(layer)];
  Acts x = pass_.ws.quantized_attended.acts(attended.n_rows(), attended_dim_);
  if (weights.o.reads_quantized()) quantize({.x = attended, .out = x.quantized}, pass_.stream);
  x.f32 = attended;
  return pass_.add_product(weights.o, x, tree_, residual, weights.ffn_norm);
}

}  // namespace lockstep
