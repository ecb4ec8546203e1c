// ModelFile: a model on disk as named, validated tensors, of any format. Maps the file; checks
// every offset, size and shape before any byte of it is used. Throws LoadError naming tensor and
// offset. Immutable after opening; any thread. The file is needed only while a model is loaded:
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

struct TensorSpec;  // node/model/families/tensor_spec.h

struct Tensor {
  std::string name;
  WeightType type = WeightType::kF32;
  int64_t n_rows = 1;  // product of all dimensions but the contiguous one
  int64_t n_cols = 0;  // the contiguous dimension
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
  // Throws LoadError naming the key if a value has the wrong type. Does not check ranges.
  virtual SamplingDefaults sampling_defaults() const { return {}; }
  virtual const std::vector<Tensor>& tensors() const = 0;
  // What this file calls the tensor of a row of the family's table. Empty if files of the format
  // have no such tensor. `layer` has no meaning for a tensor of the model.
  virtual std::string name_of(const TensorSpec& spec, int layer) const = 0;
  // The RoPE style for which the rows of q and k lie in the file. If that is kHalves and the
  // model's is kNeighbours, the loader reads the halves of a head's rows in turns.
  virtual RopeStyle row_order() const { return config().rope_style; }
  virtual const Tensor* find(std::string_view name) const = 0;  // null if absent
  // The tensor of this name. Throws LoadError naming both if it is absent or has other dimensions.
  virtual const Tensor& require(std::string_view name, int64_t n_rows, int64_t n_cols) const = 0;
  // Advises the operating system that these bytes will not be read again, so that their pages do
  // not count as memory of the process.
  virtual void release(const std::byte* data, int64_t bytes) const = 0;
  // Throws LoadError naming the file if the bytes read so far may not be those that the file held
  // when it was opened: the file was truncated or written to, or could not be read.
  virtual void check_unchanged() const {}
};

}  // namespace lockstep
