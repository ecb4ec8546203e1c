// The models of the bit-equality tests: small, and sharded like real models.
#pragma once

#include <string>
#include <vector>

#include "tests/support/fake_model_file.h"
#include "tests/support/model_runner.h"

namespace lockstep::testing {

struct NamedSpec {
  std::string name;
  FakeModelSpec spec;
};

// Like SmolLM2: 9 query heads on 3 KV heads, so 3 attention leaves; Q4_1 with tied embeddings.
inline NamedSpec nine_heads() {
  FakeModelSpec spec;
  spec.shape = {.hidden_dim = 288,
                .n_heads = 9,
                .n_kv_heads = 3,
                .head_dim = 32,
                .ffn_dim = 256,
                .vocab_size = 500};
  spec.matrices = WeightType::kQ4_1;
  spec.types["token_embd"] = WeightType::kQ8_0;
  return {"nine_heads", spec};
}

// Eight leaves in every matrix, query heads of one KV head on two ranks, every weight type, and
// long leaves (16 lanes).
inline NamedSpec eight_leaves() {
  FakeModelSpec spec;
  spec.shape = {.hidden_dim = 2048 + 32,
                .n_heads = 8,
                .n_kv_heads = 4,
                .head_dim = 32,
                .ffn_dim = 256,
                .vocab_size = 200};
  spec.matrices = WeightType::kQ4_0;
  spec.types = {{"attn_v", WeightType::kQ8_0},         {"attn_output", WeightType::kQ5_1},
                {"blk.0.ffn_down", WeightType::kQ5_0}, {"blk.1.ffn_down", WeightType::kQ4_1},
                {"ffn_gate", WeightType::kQ8_0},       {"token_embd", WeightType::kF16},
                {"output.weight", WeightType::kQ8_0}};
  spec.tied_embeddings = false;
  return {"eight_leaves", spec};
}

// Like Qwen2: biases, RoPE by halves; float and quantised weights side by side.
inline NamedSpec biased() {
  FakeModelSpec spec;
  spec.shape = {.hidden_dim = 96,
                .n_heads = 8,
                .n_kv_heads = 2,
                .head_dim = 32,
                .ffn_dim = 512,
                .vocab_size = 300};
  spec.architecture = "qwen2";
  spec.qkv_bias = true;
  spec.matrices = WeightType::kBF16;
  spec.types = {{"attn_k", WeightType::kF32},
                {"ffn_up", WeightType::kQ8_0},
                {"blk.1.attn_output", WeightType::kQ4_0}};
  return {"biased", spec};
}

// Like Qwen3: the heads of q and k are normalised, and head_dim is not hidden_dim / n_heads.
inline NamedSpec normed_heads() {
  FakeModelSpec spec;
  spec.shape = {.hidden_dim = 128,
                .n_heads = 6,
                .n_kv_heads = 3,
                .head_dim = 48,
                .ffn_dim = 224,
                .vocab_size = 260};
  spec.architecture = "qwen3";
  spec.matrices = WeightType::kQ8_0;
  return {"normed_heads", spec};
}

// Like Phi-3: fused tensors, one KV head a query head, and a window that many prompts exceed.
inline NamedSpec fused_windowed() {
  FakeModelSpec spec;
  spec.shape = {.hidden_dim = 128,
                .n_heads = 4,
                .n_kv_heads = 4,
                .head_dim = 32,
                .ffn_dim = 192,
                .vocab_size = 250};
  spec.architecture = "phi3";
  spec.window = 21;
  spec.tied_embeddings = false;
  spec.matrices = WeightType::kQ4_0;
  return {"fused_windowed", spec};
}

// Like SmolLM3: the fourth layer does not rotate.
inline NamedSpec unrotated_layer() {
  FakeModelSpec spec;
  spec.n_layers = 5;
  spec.architecture = "smollm3";
  spec.matrices = WeightType::kQ8_0;
  return {"unrotated_layer", spec};
}

// Like a file of type Q4_K_M: leaves that begin inside super-blocks (one block of attention output,
// three of FFN down), and rows of 72 blocks, so of 16 lanes.
inline NamedSpec k_quants() {
  FakeModelSpec spec;
  spec.shape = {.hidden_dim = 9 * 256,
                .n_heads = 8,
                .n_kv_heads = 4,
                .head_dim = 32,
                .ffn_dim = 3 * 256,
                .vocab_size = 200};
  spec.matrices = WeightType::kQ4_K;
  spec.types = {{"attn_v", WeightType::kQ6_K},
                {"blk.0.attn_output", WeightType::kQ5_K},
                {"blk.0.ffn_down", WeightType::kQ6_K},
                {"ffn_gate", WeightType::kQ5_K},
                {"token_embd", WeightType::kQ6_K}};
  return {"k_quants", spec};
}

inline std::vector<NamedSpec> all_specs() {
  return {nine_heads(),     eight_leaves(),    biased(),  normed_heads(),
          fused_windowed(), unrotated_layer(), k_quants()};
}

inline Generation run(const NamedSpec& model, const RunnerOptions& options, const Ids& prompt,
                      int n_new) {
  const FakeModelFile file(model.spec);
  ModelRunner runner(file, options);
  return runner.generate(prompt, n_new);
}

}  // namespace lockstep::testing
