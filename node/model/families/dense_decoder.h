// The tensors of decoders whose layers have grouped-query attention and a gated FFN.
#pragma once

#include <array>

#include "node/model/families/tensor_spec.h"

namespace lockstep {

inline constexpr auto kDenseDecoder = [] {
  using enum TensorRole;
  using enum Extent;
  using enum Cut;
  using enum Presence;
  constexpr Layers kModel = Layers::kNone, kLayer = Layers::kEach;
  return std::to_array<TensorSpec>({
      {kEmbedding, kModel, "token_embd.weight", "model.embed_tokens.weight", kVocab, kHidden,
       kVocabRows},
      {kOutputNorm, kModel, "output_norm.weight", "model.norm.weight", kOne, kHidden, kWhole},
      {kHead, kModel, "output.weight", "lm_head.weight", kVocab, kHidden, kVocabRows, kUntied},
      {kRopeDivisors, kModel, "rope_freqs.weight", "", kOne, kRotatedPairs, kWhole, kOptional},

      {kAttentionNorm, kLayer, "attn_norm.weight", "input_layernorm.weight", kOne, kHidden, kWhole},
      {kQuery, kLayer, "attn_q.weight", "self_attn.q_proj.weight", kQueryDim, kHidden, kQueryRows},
      {kKey, kLayer, "attn_k.weight", "self_attn.k_proj.weight", kKvDim, kHidden, kKeyValueRows},
      {kValue, kLayer, "attn_v.weight", "self_attn.v_proj.weight", kKvDim, kHidden, kKeyValueRows},
      {kQueryBias, kLayer, "attn_q.bias", "self_attn.q_proj.bias", kOne, kQueryDim, kQueryRows,
       kWithBias},
      {kKeyBias, kLayer, "attn_k.bias", "self_attn.k_proj.bias", kOne, kKvDim, kKeyValueRows,
       kWithBias},
      {kValueBias, kLayer, "attn_v.bias", "self_attn.v_proj.bias", kOne, kKvDim, kKeyValueRows,
       kWithBias},
      {kQueryNorm, kLayer, "attn_q_norm.weight", "self_attn.q_norm.weight", kOne, kHeadDim, kWhole,
       kWithQkNorm},
      {kKeyNorm, kLayer, "attn_k_norm.weight", "self_attn.k_norm.weight", kOne, kHeadDim, kWhole,
       kWithQkNorm},
      {kAttentionOutput, kLayer, "attn_output.weight", "self_attn.o_proj.weight", kHidden,
       kQueryDim, kAttentionColumns},
      {kFfnNorm, kLayer, "ffn_norm.weight", "post_attention_layernorm.weight", kOne, kHidden,
       kWhole},
      {kGate, kLayer, "ffn_gate.weight", "mlp.gate_proj.weight", kFfn, kHidden, kFfnRows},
      {kUp, kLayer, "ffn_up.weight", "mlp.up_proj.weight", kFfn, kHidden, kFfnRows},
      {kDown, kLayer, "ffn_down.weight", "mlp.down_proj.weight", kHidden, kFfn, kFfnColumns},
  });
}();

// The same decoder as Phi-3 stores it: query, key and value in one tensor, and gate and up in
// another.
inline constexpr auto kFusedDecoder = [] {
  using enum TensorRole;
  using enum Extent;
  using enum Cut;
  using enum Presence;
  constexpr Layers kModel = Layers::kNone, kLayer = Layers::kEach;
  return std::to_array<TensorSpec>({
      {kEmbedding, kModel, "token_embd.weight", "model.embed_tokens.weight", kVocab, kHidden,
       kVocabRows},
      {kOutputNorm, kModel, "output_norm.weight", "model.norm.weight", kOne, kHidden, kWhole},
      {kHead, kModel, "output.weight", "lm_head.weight", kVocab, kHidden, kVocabRows, kUntied},

      {kAttentionNorm, kLayer, "attn_norm.weight", "input_layernorm.weight", kOne, kHidden, kWhole},
      {kQueryKeyValue, kLayer, "attn_qkv.weight", "self_attn.qkv_proj.weight", kQkvDim, kHidden,
       kQkvRows},
      {kAttentionOutput, kLayer, "attn_output.weight", "self_attn.o_proj.weight", kHidden,
       kQueryDim, kAttentionColumns},
      {kFfnNorm, kLayer, "ffn_norm.weight", "post_attention_layernorm.weight", kOne, kHidden,
       kWhole},
      {kGateUp, kLayer, "ffn_up.weight", "mlp.gate_up_proj.weight", kTwiceFfn, kHidden,
       kGateUpRows},
      {kDown, kLayer, "ffn_down.weight", "mlp.down_proj.weight", kHidden, kFfn, kFfnColumns},
  });
}();

}  // namespace lockstep
