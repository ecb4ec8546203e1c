// HuggingFaceModel: a folder of Hugging Face as a ModelFile: config.json, safetensors,
// tokenizer.json and what lies beside them. The constructor reads and checks everything and throws
// LoadError; afterwards the object is immutable.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "node/model/families/tensor_spec.h"
#include "node/model/files/huggingface/safetensors_set.h"
#include "node/model/model_file.h"

namespace lockstep {

class HuggingFaceModel final : public ModelFile {
 public:
  explicit HuggingFaceModel(const std::string& folder);

  const ModelConfig& config() const override { return config_; }
  const TokenizerData& tokenizer() const override { return tokenizer_; }
  SamplingDefaults sampling_defaults() const override;
  const std::vector<Tensor>& tensors() const override { return tensors_; }
  std::string name_of(const TensorSpec& spec, int layer) const override {
    return spec.name_in_hf(layer);
  }
  RopeStyle row_order() const override { return RopeStyle::kHalves; }
  const Tensor* find(std::string_view name) const override;
  const Tensor& require(std::string_view name, int64_t n_rows, int64_t n_cols) const override;
  void release(const std::byte* data, int64_t n_bytes) const override;
  void check_unchanged() const override;

 private:
  TokenizerData read_tokenizer(const std::string& folder) const;

  const nlohmann::json config_json_;
  const hf::SafetensorsSet set_;
  const std::optional<nlohmann::json> generation_config_;
  std::vector<Tensor> tensors_;  // those of set_ that are weights
  std::unordered_map<std::string_view, const Tensor*> by_name_;
  ModelConfig config_;
  TokenizerData tokenizer_;
};

}  // namespace lockstep
