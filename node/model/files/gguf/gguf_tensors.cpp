#include <algorithm>
#include <numeric>
#include <optional>

#include "kernels/layout/quant.h"
#include "node/model/files/gguf/gguf.h"
#include "node/model/files/shared/tensors_apart.h"

namespace lockstep::gguf {
namespace {

constexpr uint64_t kMaxNameBytes = 64;  // GGUF spec
constexpr uint32_t kMaxDims = 4;        // GGUF spec
// A limit that keeps every product of dimensions and bytes far from overflow.
constexpr uint64_t kMaxValues = uint64_t{1} << 48;

struct TypeName {
  uint32_t id;
  const char* name;
  std::optional<WeightType> type;  // nullopt: a known type that is not supported
};

// Source: ggml's `ggml_type`.
constexpr TypeName kTensorTypes[] = {
    {0, "F32", WeightType::kF32},
    {1, "F16", WeightType::kF16},
    {2, "Q4_0", WeightType::kQ4_0},
    {3, "Q4_1", WeightType::kQ4_1},
    {6, "Q5_0", WeightType::kQ5_0},
    {7, "Q5_1", WeightType::kQ5_1},
    {8, "Q8_0", WeightType::kQ8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", {}},
    {11, "Q3_K", {}},
    {12, "Q4_K", WeightType::kQ4_K},
    {13, "Q5_K", WeightType::kQ5_K},
    {14, "Q6_K", WeightType::kQ6_K},
    {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},
    {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},
    {19, "IQ1_S", {}},
    {20, "IQ4_NL", {}},
    {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},
    {23, "IQ4_XS", {}},
    {24, "I8", {}},
    {25, "I16", {}},
    {26, "I32", {}},
    {27, "I64", {}},
    {28, "F64", {}},
    {29, "IQ1_M", {}},
    {30, "BF16", WeightType::kBF16},
    {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},
    {39, "MXFP4", {}},
    {40, "NVFP4", {}},
    {41, "Q1_0", {}},
};

WeightType weight_type(uint32_t id, const std::string& what) {
  const auto* found = std::find_if(std::begin(kTensorTypes), std::end(kTensorTypes),
                                   [id](const TypeName& known) { return known.id == id; });
  if (found == std::end(kTensorTypes)) fail(what, " has the unknown type ", id);
  if (found->type) return *found->type;
  fail(what, " has type ", found->name,
       ", which is not supported (F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, "
       "Q6_K are)");
}

void read_dims(Reader& reader, const std::string& what, Tensor& tensor) {
  const auto n_dims = reader.number<uint32_t>(what);
  if (n_dims < 1 || n_dims > kMaxDims) {
    fail(what, " has ", n_dims, " dimensions, must be 1..", kMaxDims);
  }
  uint64_t n_values = 1;
  for (uint32_t d = 0; d < n_dims; ++d) {
    const auto dim = reader.number<uint64_t>(what);
    if (dim == 0) fail(what, ": dimension ", d, " is 0");
    if (dim > kMaxValues / n_values) {
      fail(what, ": dimension ", d, " is ", dim, ", which makes more than 2^48 values");
    }
    n_values *= dim;
    if (d == 0) tensor.n_cols = static_cast<int64_t>(dim);
  }
  tensor.n_rows = static_cast<int64_t>(n_values) / tensor.n_cols;
}

// The returned `file_offset` still counts from the start of the tensor data.
Tensor read_entry(Reader& reader, uint64_t index, uint64_t alignment) {
  Tensor tensor;
  const uint64_t at = reader.offset();
  tensor.name = reader.string("name of tensor " + std::to_string(index), kMaxNameBytes);
  if (tensor.name.empty()) fail("tensor ", index, " at offset ", at, " has no name");
  const std::string what = "tensor " + quoted(tensor.name) + " at offset " + std::to_string(at);
  read_dims(reader, what, tensor);
  tensor.type = weight_type(reader.number<uint32_t>(what), what);
  if (is_quantized(tensor.type) && tensor.n_cols % source_block_len(tensor.type) != 0) {
    fail(what, ": rows of ", tensor.n_cols, " values cannot be of type ", to_string(tensor.type),
         " (not a multiple of ", source_block_len(tensor.type), ")");
  }
  tensor.file_offset = reader.number<uint64_t>(what);
  if (tensor.file_offset % alignment != 0) {
    fail(what, ": data offset ", tensor.file_offset, " is not a multiple of the alignment ",
         alignment);
  }
  return tensor;
}

void place(Tensor& tensor, std::span<const std::byte> file, uint64_t data_start) {
  const auto n_bytes = static_cast<uint64_t>(tensor.bytes());
  const uint64_t n_after_start = file.size() - data_start;
  if (tensor.file_offset > n_after_start || n_bytes > n_after_start - tensor.file_offset) {
    fail("tensor ", quoted(tensor.name), ": ", n_bytes, " bytes at offset ", data_start, " + ",
         tensor.file_offset, " end past the end of the file (", file.size(), " bytes)");
  }
  tensor.file_offset += data_start;
  tensor.data = file.data() + tensor.file_offset;
}

}  // namespace

std::vector<Tensor> read_tensors(std::span<const std::byte> file, Reader& reader,
                                 uint64_t n_tensors, uint64_t alignment) {
  std::vector<Tensor> tensors;
  // Not reserved: a damaged file may give any number.
  while (tensors.size() < n_tensors)
    tensors.push_back(read_entry(reader, tensors.size(), alignment));
  const uint64_t data_start = (reader.offset() + alignment - 1) / alignment * alignment;
  if (n_tensors > 0 && data_start > file.size()) {
    fail("the tensor data would start at offset ", data_start, ", past the end of the file (",
         file.size(), " bytes)");
  }
  for (Tensor& tensor : tensors) place(tensor, file, data_start);
  check_apart(tensors);
  return tensors;
}

}  // namespace lockstep::gguf
