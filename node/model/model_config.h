// ModelConfig: the hyperparameters of one model, read from its file. A model family adds fields
// here, not code paths to the forward pass. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "parallel/shard_plan.h"

namespace lockstep {

// Sampling defaults that the model's authors recommend, for fields that a request leaves out. A
// field is absent if the file does not have it. Meanings and ranges are those of a request's
// fields; values are read as they are in the file, without a range check.
struct SamplingDefaults {
  std::optional<double> temperature, top_p, min_p;
  std::optional<int64_t> top_k;  // 0 or -1 = off
  std::optional<double> repetition_penalty;
  std::vector<std::string> unsupported;  // keys that ask for a sampler that Lockstep does not have
  bool keys_are_fields = false;          // the file's keys have the names of a request's fields
};

// What may differ from one layer of a model to the next.
struct LayerConfig {
  int64_t window = 0;   // a token attends to the last `window` keys; 0 = to all of them
  bool rotates = true;  // RoPE; false in the layers without positions (NoPE) of SmolLM3

  bool operator==(const LayerConfig&) const = default;
};

struct ModelConfig {
  std::string architecture;  // GGUF general.architecture: "llama", "qwen3"
  std::string name;          // GGUF general.name
  ModelShape shape;          // hidden_dim, heads, head_dim, ffn_dim, vocab_size
  std::vector<LayerConfig> layers;
  int64_t context_length = 0;
  float rms_eps = 1e-5f;
  double rope_theta = 10000.0;
  int n_rot = 0;  // leading dims of a head that RoPE rotates
  RopeStyle rope_style = RopeStyle::kNeighbours;
  std::vector<float> rope_freq_divisors;  // [n_rot / 2] (rope_freqs.weight), empty = none
  bool tied_embeddings = false;           // no output.weight: the head is token_embd
  bool qkv_bias = false;
  bool qk_norm = false;  // each head of q and k is normalised before RoPE

  int n_layers() const { return static_cast<int>(layers.size()); }
};

}  // namespace lockstep
