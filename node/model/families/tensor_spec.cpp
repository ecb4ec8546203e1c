#include "node/model/families/tensor_spec.h"

#include "common/check.h"
#include "common/log.h"

namespace lockstep {

std::string TensorSpec::name_in_gguf(int layer) const {
  return layers == Layers::kNone ? std::string(gguf_name) : str("blk.", layer, ".", gguf_name);
}

std::string TensorSpec::name_in_hf(int layer) const {
  const bool is_plain = layers == Layers::kNone || hf_name.empty();
  return is_plain ? std::string(hf_name) : str("model.layers.", layer, ".", hf_name);
}

int64_t size_of(Extent extent, const ModelConfig& model) {
  const ModelShape& shape = model.shape;
  switch (extent) {
    case Extent::kOne:
      return 1;
    case Extent::kVocab:
      return shape.vocab_size;
    case Extent::kHidden:
      return shape.hidden_dim;
    case Extent::kQueryDim:
      return int64_t{shape.n_heads} * shape.head_dim;
    case Extent::kKvDim:
      return int64_t{shape.n_kv_heads} * shape.head_dim;
    case Extent::kQkvDim:
      return (int64_t{shape.n_heads} + 2 * int64_t{shape.n_kv_heads}) * shape.head_dim;
    case Extent::kHeadDim:
      return shape.head_dim;
    case Extent::kFfn:
      return shape.ffn_dim;
    case Extent::kTwiceFfn:
      return 2 * shape.ffn_dim;
    case Extent::kRotatedPairs:
      return model.n_rot / 2;
  }
  CHECK(false);
  return 0;
}

bool may_have(const ModelConfig& model, const TensorSpec& spec) {
  switch (spec.presence) {
    case Presence::kUntied:
      return !model.tied_embeddings;
    case Presence::kWithBias:
      return model.qkv_bias;
    case Presence::kWithQkNorm:
      return model.qk_norm;
    case Presence::kAlways:
    case Presence::kOptional:
      return true;
  }
  CHECK(false);
  return false;
}

}  // namespace lockstep
