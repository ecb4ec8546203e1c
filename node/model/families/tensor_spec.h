// TensorSpec: one row of a model family's table: a tensor, or one tensor of each layer, by what it
// is for, what a file calls it, its shape, and how ranks share it. Checking and loading a model
// read these rows. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "node/model/model_config.h"

namespace lockstep {

enum class TensorRole : uint8_t {
  kEmbedding,
  kOutputNorm,
  kHead,
  kRopeDivisors,  // ModelConfig::rope_freq_divisors
  // of each layer
  kAttentionNorm,
  kQuery,
  kKey,
  kValue,
  kQueryBias,
  kKeyBias,
  kValueBias,
  kQueryKeyValue,  // the rows of kQuery, kKey and kValue in one tensor
  kQueryNorm,      // of each head
  kKeyNorm,        // likewise
  kAttentionOutput,
  kFfnNorm,
  kGate,
  kUp,
  kGateUp,  // the rows of kGate and kUp in one tensor
  kDown,
};

// A dimension of a tensor as the model's shape gives it.
enum class Extent : uint8_t {
  kOne,
  kVocab,
  kHidden,
  kQueryDim,
  kKvDim,
  kQkvDim,  // kQueryDim + 2 * kKvDim
  kHeadDim,
  kFfn,
  kTwiceFfn,
  kRotatedPairs,
};

// How ranks share a tensor. Rows are those of a matrix, or the values of a vector.
enum class Cut : uint8_t {
  kWhole,             // every rank has it
  kVocabRows,         // in panels
  kQueryRows,         // in attention leaves
  kKeyValueRows,      // in KV heads
  kQkvRows,           // queries, keys and values each as above
  kFfnRows,           // in FFN leaves
  kGateUpRows,        // gate and up each in FFN leaves
  kAttentionColumns,  // in attention leaves
  kFfnColumns,        // in FFN leaves
};

enum class Presence : uint8_t {
  kAlways,
  kUntied,      // unless ModelConfig::tied_embeddings
  kWithBias,    // if ModelConfig::qkv_bias
  kWithQkNorm,  // if ModelConfig::qk_norm
  kOptional,    // the file may have it
};

enum class Layers : uint8_t { kNone, kEach };

struct TensorSpec {
  TensorRole role;
  Layers layers;
  std::string_view gguf_name;  // of a layer's tensor: behind "blk.N."
  std::string_view hf_name;    // in files of Hugging Face: behind "model.layers.N."; empty = none
  Extent n_rows, n_cols;
  Cut cut;
  Presence presence = Presence::kAlways;

  std::string name_in_gguf(int layer = 0) const;
  std::string name_in_hf(int layer = 0) const;
  bool is_vector() const { return n_rows == Extent::kOne; }
};

int64_t size_of(Extent extent, const ModelConfig& model);
// False: a file of this model must not have the tensor. True for optional ones.
bool may_have(const ModelConfig& model, const TensorSpec& spec);

}  // namespace lockstep
