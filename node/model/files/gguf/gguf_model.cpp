#include "node/model/files/gguf/gguf_model.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "node/model/files/gguf/gguf_config.h"
#include "node/model/files/gguf/gguf_split.h"
#include "node/model/files/shared/load_failure.h"
#include "node/model/files/shared/model_tensors.h"

namespace lockstep {

GgufModel::GgufModel(std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes)
    : directory_(gguf::read_directory(bytes)) {
  if (file) files_.push_back(std::move(file));
  add_other_files();
  for (const Tensor& tensor : directory_.tensors) {
    if (!by_name_.emplace(tensor.name, &tensor).second) {
      fail("tensor ", quoted(tensor.name), " is in two files of the model");
    }
  }
  config_ = gguf::read_config(directory_);
  check_model_tensors(*this);
  tokenizer_ = gguf::read_tokenizer(directory_.metadata);
  check_vocabulary();
}

GgufModel::GgufModel(const std::shared_ptr<const MappedFile>& file)
    : GgufModel(file, file->bytes()) {}

GgufModel::GgufModel(std::span<const std::byte> bytes) : GgufModel(nullptr, bytes) {}

const Tensor* GgufModel::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

const Tensor& GgufModel::require(std::string_view name, int64_t n_rows, int64_t n_cols) const {
  const Tensor* tensor = find(name);
  if (tensor == nullptr) fail("tensor ", quoted(name), " is missing");
  if (tensor->n_rows != n_rows || tensor->n_cols != n_cols) {
    fail("tensor ", quoted(name), " at offset ", tensor->file_offset, " has the shape [",
         tensor->n_cols, ", ", tensor->n_rows, "], the model needs [", n_cols, ", ", n_rows, "]");
  }
  return *tensor;
}

void GgufModel::release(const std::byte* data, int64_t n_bytes) const {
  for (const auto& file : files_) {
    if (file->holds(data)) return file->release(data, n_bytes);
  }
}

void GgufModel::check_unchanged() const {
  for (const auto& file : files_) file->check_unchanged();
}

// Called before all other checks: one file of a split model lacks tensors that the other files
// have.
void GgufModel::add_other_files() {
  const std::string path = files_.empty() ? "" : files_.front()->path();
  for (gguf::SplitFile& other : gguf::open_other_files(directory_, path)) {
    files_.push_back(std::move(other.file));
    std::move(other.tensors.begin(), other.tensors.end(), std::back_inserter(directory_.tensors));
  }
}

void GgufModel::check_vocabulary() const {
  const auto n_tokens = static_cast<int64_t>(tokenizer_.tokens.size());
  if (n_tokens == config_.shape.vocab_size) return;
  fail(directory_.metadata.describe("tokenizer.ggml.tokens"), " has ", n_tokens,
       " tokens, tensor 'token_embd.weight' has ", config_.shape.vocab_size, " rows");
}

}  // namespace lockstep
