// ModelFile: a model on disk as named, validated tensors; GGUF today. Maps the file; every offset,
// size and shape is checked before any byte of it is used. Throws LoadError naming tensor and
// offset. Immutable after opening; any thread. Needed while a model is loaded and not after:
// weights, tokenizer and configuration are copies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/layout/packed_weights.h"
#include "node/model/model_config.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

struct Tensor {
  std::string name;
  WeightType type = WeightType::kF32;
  int64_t n_rows = 1;  // product of all dimensions but the first
  int64_t n_cols = 0;  // GGUF dimension 0: contiguous
  uint64_t file_offset = 0;
  const std::byte* data = nullptr;  // mapped, file order
  int64_t row_bytes() const { return source_row_bytes(type, n_cols); }
  int64_t bytes() const { return n_rows * row_bytes(); }
};

class ModelFile {
 public:
  virtual ~ModelFile() = default;

  virtual const ModelConfig& config() const = 0;
  virtual const TokenizerData& tokenizer() const = 0;
  // Throws LoadError naming the key for a value of another kind; ranges are not checked here.
  virtual SamplingDefaults sampling_defaults() const { return {}; }
  virtual const std::vector<Tensor>& tensors() const = 0;
  virtual const Tensor* find(std::string_view name) const = 0;  // null if absent
  // The tensor, checked to have these dimensions; throws LoadError naming both.
  virtual const Tensor& require(std::string_view name, int64_t n_rows, int64_t n_cols) const = 0;
  // Tells the kernel that these bytes will not be read again, so that they do not count as ours.
  virtual void release(const std::byte* data, int64_t bytes) const = 0;
  // Throws LoadError naming the file if what was read so far may not be what it held when it was
  // opened: it was truncated, written to, or could not be read.
  virtual void check_unchanged() const {}
};

}  // namespace lockstep
