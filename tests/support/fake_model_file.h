// FakeModelFile: a model of any family, shape and weight type in memory, with every tensor of the
// family's table but the optional ones. Its weights are random, but equal for equal seeds. It
// counts the released tensors, so that tests can check that the loader releases them.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "node/model/families/tensor_spec.h"
#include "node/model/model_file.h"
#include "tests/support/random.h"

namespace lockstep::testing {

struct FakeModelSpec {
  ModelShape shape{.hidden_dim = 64,
                   .n_heads = 4,
                   .n_kv_heads = 2,
                   .head_dim = 16,
                   .ffn_dim = 96,
                   .vocab_size = 130};
  int n_layers = 2;
  std::string architecture = "llama";
  bool qkv_bias = false;  // where the family can have biases
  int64_t window = 0;     // where the family can have windows
  bool tied_embeddings = true;
  std::optional<RopeStyle> row_order;  // of q and k in the file; absent: that of the family
  WeightType matrices = WeightType::kF32;
  // Weight types that differ from the others, by the last part of the tensor's name ("attn_v").
  std::map<std::string, WeightType> types;
  uint64_t seed = 1;
};

// Returns `n` values in the file's layout of `type`, of a magnitude of about sigma. For quantised
// types, n must be a multiple of 32; K-quants fill up their last super-block.
std::vector<std::byte> random_weights(WeightType type, int64_t n, float sigma,
                                      SeededRandom& random);

class FakeModelFile final : public ModelFile {
 public:
  explicit FakeModelFile(const FakeModelSpec& spec);

  const ModelConfig& config() const override { return config_; }
  const TokenizerData& tokenizer() const override { return tokenizer_; }
  const std::vector<Tensor>& tensors() const override { return tensors_; }
  std::string name_of(const TensorSpec& spec, int layer) const override {
    return spec.name_in_gguf(layer);
  }
  RopeStyle row_order() const override { return spec_.row_order.value_or(config_.rope_style); }
  const Tensor* find(std::string_view name) const override;
  const Tensor& require(std::string_view name, int64_t n_rows, int64_t n_cols) const override;
  void release(const std::byte* data, int64_t bytes) const override;

  // The bytes of a tensor, for tests that corrupt them.
  std::span<std::byte> bytes_of(std::string_view name);
  // Removes a tensor, as in a broken file.
  void remove(std::string_view name);
  int64_t bytes_released() const { return bytes_released_; }
  int64_t bytes() const;

 private:
  void add_model_tensors(bool embedding, SeededRandom& random);
  void add(const TensorSpec& row, int layer, SeededRandom& random);
  void add(const std::string& name, int64_t n_rows, int64_t n_cols, SeededRandom& random);
  void add_vector(const std::string& name, int64_t n, float mean, SeededRandom& random);
  WeightType type_of(const std::string& name) const;
  void append(const std::string& name, WeightType type, int64_t n_rows, int64_t n_cols,
              std::vector<std::byte> bytes);

  FakeModelSpec spec_;
  ModelConfig config_;
  TokenizerData tokenizer_;
  std::vector<std::vector<std::byte>> bytes_;  // [n_tensors]
  std::vector<Tensor> tensors_;
  mutable std::atomic<int64_t> bytes_released_{0};
};

}  // namespace lockstep::testing
