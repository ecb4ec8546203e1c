// GgufModel: a GGUF file, or several that are one model, as a ModelFile. The constructor parses and
// checks everything and throws LoadError; afterwards the object is immutable.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "node/model/families/tensor_spec.h"
#include "node/model/files/gguf/gguf.h"
#include "node/model/files/gguf/gguf_config.h"
#include "node/model/files/shared/mapped_file.h"
#include "node/model/model_file.h"

namespace lockstep {

class GgufModel final : public ModelFile {
 public:
  // file: the only one, or the first of several, which are opened from its folder.
  explicit GgufModel(const std::shared_ptr<const MappedFile>& file);
  // Reads bytes that the caller keeps alive; release() does nothing. For tests.
  explicit GgufModel(std::span<const std::byte> bytes);

  const ModelConfig& config() const override { return config_; }
  const TokenizerData& tokenizer() const override { return tokenizer_; }
  SamplingDefaults sampling_defaults() const override {
    return gguf::read_sampling_defaults(directory_.metadata);
  }
  const std::vector<Tensor>& tensors() const override { return directory_.tensors; }
  std::string name_of(const TensorSpec& spec, int layer) const override {
    return spec.name_in_gguf(layer);
  }
  const Tensor* find(std::string_view name) const override;
  const Tensor& require(std::string_view name, int64_t n_rows, int64_t n_cols) const override;
  void release(const std::byte* data, int64_t n_bytes) const override;
  void check_unchanged() const override;

 private:
  GgufModel(std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes);
  void add_other_files();
  void check_vocabulary() const;

  // The first is shared with open_model_file(), so that the file outlives a failed parse.
  std::vector<std::shared_ptr<const MappedFile>> files_;
  gguf::Directory directory_;  // of the first file, with the tensors of all
  std::unordered_map<std::string_view, const Tensor*> by_name_;
  ModelConfig config_;
  TokenizerData tokenizer_;
};

}  // namespace lockstep
