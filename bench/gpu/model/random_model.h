// RandomModel: a model of any shape in memory, with seeded random weights in the blocks of a file.
// It has no tokenizer. Equal seeds give equal models on every machine.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "node/model/families/tensor_spec.h"
#include "node/model/model_file.h"

namespace lockstep::gpu_check {

struct RandomModelSpec {
  std::string name;
  ModelShape shape;
  int n_layers = 2;
  WeightType matrices = WeightType::kQ8_0;
  std::map<std::string, WeightType> types = {};  // other types, by a part of the tensor's name
  bool qkv_bias = false;
  bool tied_embeddings = true;
  std::string architecture = "llama";
};

class RandomModel final : public ModelFile {
 public:
  explicit RandomModel(const RandomModelSpec& spec);

  const ModelConfig& config() const override { return config_; }
  const TokenizerData& tokenizer() const override { return tokenizer_; }
  const std::vector<Tensor>& tensors() const override { return tensors_; }
  std::string name_of(const TensorSpec& spec, int layer) const override {
    return spec.name_in_gguf(layer);
  }
  const Tensor* find(std::string_view name) const override;
  const Tensor& require(std::string_view name, int64_t n_rows, int64_t n_cols) const override;
  void release(const std::byte* /*data*/, int64_t /*bytes*/) const override {}

 private:
  void add(const TensorSpec& row, int layer);
  void add_matrix(const std::string& name, int64_t n_rows, int64_t n_cols);
  void add_vector(const std::string& name, int64_t n, float mean);
  std::byte* add(const std::string& name, WeightType type, int64_t n_rows, int64_t n_cols);

  const RandomModelSpec spec_;
  ModelConfig config_;
  const TokenizerData tokenizer_;
  std::vector<std::vector<std::byte>> bytes_;  // [n_tensors]
  std::vector<Tensor> tensors_;
};

}  // namespace lockstep::gpu_check
