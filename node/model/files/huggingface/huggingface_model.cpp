#include "node/model/files/huggingface/huggingface_model.h"

#include <filesystem>
#include <utility>

#include "node/model/files/huggingface/hf_config.h"
#include "node/model/files/huggingface/hf_sampling.h"
#include "node/model/files/huggingface/hf_tokenizer.h"
#include "node/model/files/huggingface/json_keys.h"
#include "node/model/files/shared/load_failure.h"
#include "node/model/files/shared/model_tensors.h"

namespace lockstep {
namespace {

constexpr const char* kConfig = "config.json";
constexpr const char* kGenerationConfig = "generation_config.json";

nlohmann::json require_json(const std::string& folder, const char* name,
                            size_t max_bytes = hf::kMaxJsonBytes) {
  auto content = hf::read_json(folder, name, max_bytes);
  if (!content) fail("the folder has no ", name);
  return std::move(*content);
}

// Old files hold the frequencies of RoPE, which follow from config.json.
bool is_weight(const Tensor& tensor) { return !tensor.name.ends_with(".rotary_emb.inv_freq"); }

// The folder's own name, also for "model/" and ".".
std::string name_of_folder(const std::string& folder) {
  std::error_code error;
  auto path = std::filesystem::absolute(folder, error).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

}  // namespace

HuggingFaceModel::HuggingFaceModel(const std::string& folder)
    : config_json_(require_json(folder, kConfig)),
      set_(folder),
      generation_config_(hf::read_json(folder, kGenerationConfig)) {
  for (const Tensor& tensor : set_.tensors()) {
    if (is_weight(tensor)) tensors_.push_back(tensor);
  }
  for (const Tensor& tensor : tensors_) by_name_.emplace(tensor.name, &tensor);
  config_ = hf::read_config(hf::JsonKeys(kConfig, config_json_), tensors_, name_of_folder(folder));
  check_model_tensors(*this);
  tokenizer_ = read_tokenizer(folder);
  check_unchanged();
}

TokenizerData HuggingFaceModel::read_tokenizer(const std::string& folder) const {
  hf::TokenizerFiles files;
  files.tokenizer = require_json(folder, "tokenizer.json", hf::kMaxTokenizerBytes);
  files.tokenizer_config = hf::read_json(folder, "tokenizer_config.json");
  files.chat_template = hf::read_text(folder, "chat_template.jinja");
  files.config = config_json_;
  files.generation_config = generation_config_;
  return hf::read_tokenizer(files, config_.shape.vocab_size);
}

SamplingDefaults HuggingFaceModel::sampling_defaults() const {
  if (!generation_config_) return {};
  return hf::read_sampling_defaults(hf::JsonKeys(kGenerationConfig, *generation_config_));
}

const Tensor* HuggingFaceModel::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

const Tensor& HuggingFaceModel::require(std::string_view name, int64_t n_rows,
                                        int64_t n_cols) const {
  const Tensor* tensor = find(name);
  if (tensor == nullptr) fail("tensor ", quoted(name), " is missing");
  if (tensor->n_rows != n_rows || tensor->n_cols != n_cols) {
    fail("tensor ", quoted(name), " at offset ", tensor->file_offset, " of ", set_.file_of(*tensor),
         " has the shape [", tensor->n_rows, ", ", tensor->n_cols, "], ", kConfig, " asks for [",
         n_rows, ", ", n_cols, "]");
  }
  return *tensor;
}

void HuggingFaceModel::release(const std::byte* data, int64_t n_bytes) const {
  set_.release(data, n_bytes);
}

void HuggingFaceModel::check_unchanged() const { set_.check_unchanged(); }

}  // namespace lockstep
