// RoPE in config.json: `rope_theta`, `rope_scaling` and `partial_rotary_factor`, or newer files'
// `rope_parameters`, which holds all three. Kinds: default, linear and llama3; any other kind, and
// any key of these objects that a kind does not have, is a LoadError naming it. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "node/model/files/huggingface/json_keys.h"
#include "node/model/model_config.h"

namespace lockstep::hf {

// Sets rope_theta, n_rot and rope_freq_divisors of a model whose head_dim is known. default_theta:
// if the file has none. may_be_partial: RoPE of this model type may leave the last dims of a head
// as they are.
void read_rope(const JsonKeys& config, double default_theta, bool may_be_partial,
               ModelConfig& model);

struct Llama3Scaling {
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  double original_length = 8192;  // tokens
};

// [n_rot / 2]. Source: Meta's reference code of Llama 3.1. Pairs that turn fast are left alone,
// pairs that turn less than low_freq_factor times in the original context are slowed by the factor,
// and those between the two are slowed in part.
std::vector<float> llama3_divisors(const Llama3Scaling& scaling, double theta, int n_rot);

}  // namespace lockstep::hf
