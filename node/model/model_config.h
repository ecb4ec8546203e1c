// ModelConfig: the numbers of one model, read from its file. Families add facts here, not loops
// in the forward pass.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "parallel/shard_plan.h"

namespace lockstep {

struct ModelConfig {
  std::string architecture;  // GGUF general.architecture: "llama", "qwen2"
  std::string name;          // GGUF general.name
  ModelShape shape;          // hidden_dim, heads, head_dim, ffn_dim, vocab_size
  int n_layers = 0;
  int64_t context_length = 0;
  float rms_eps = 1e-5f;
  double rope_theta = 10000.0;
  int n_rot = 0;  // leading dims of a head that RoPE rotates
  RopeStyle rope_style = RopeStyle::kNeighbours;
  std::vector<float> rope_freq_divisors;  // [n_rot / 2] (rope_freqs.weight), empty = none
  bool tied_embeddings = false;           // no output.weight: the head is token_embd
  bool qkv_bias = false;
};

}  // namespace lockstep
