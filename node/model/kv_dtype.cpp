#include "node/model/kv_dtype.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/load_error.h"
#include "common/log.h"
#include "kernels/kv_layout.h"

namespace lockstep {
namespace {

constexpr std::array kNames = {
    std::pair("f16", DType::kF16),     std::pair("bf16", DType::kBF16),
    std::pair("f32", DType::kF32),     std::pair("q8_0", DType::kQ8_0),
    std::pair("k16v8", DType::kK16V8), std::pair("k16v16", DType::kK16V16)};

// The embedding and the output head are not counted: files of float layers may quantise these.
bool layers_are_quantized(const ModelFile& file) {
  return std::ranges::any_of(file.tensors(), [](const Tensor& tensor) {
    return tensor.name.starts_with("blk.") && is_quantized(tensor.type);
  });
}

DType default_kv_dtype(const ModelFile& file) {
  if (file.config().shape.head_dim % 2 != 0) return DType::kF16;
  return layers_are_quantized(file) ? DType::kK16V8 : DType::kK16V16;
}

}  // namespace

const char* kv_dtype_name(DType dtype) {
  for (const auto& [name, named] : kNames) {
    if (named == dtype) return name;
  }
  return "?";
}

DType kv_dtype_of(const std::string& name, const ModelFile& file) {
  if (name == "auto") return default_kv_dtype(file);
  for (const auto& [known, dtype] : kNames) {
    if (name != known) continue;
    check_kv_dtype(file.config(), dtype);
    return dtype;
  }
  throw LoadError(str("kv_cache_dtype: '", name, "' is not one of ", kKvDtypeNames));
}

void check_kv_dtype(const ModelConfig& model, DType kv_dtype) {
  const int head_dim = model.shape.head_dim;
  if (is_whole_number_kv(kv_dtype) && head_dim % 2 != 0) {
    throw LoadError(
        str("kv_cache_dtype: k16v8 and k16v16 need heads of an even number of values, "
            "the model's have ",
            head_dim));
  }
  if (kv_dtype != DType::kQ8_0 || head_dim % kBlockLen == 0) return;
  throw LoadError(str("kv_cache_dtype: q8_0 needs heads of a multiple of ", kBlockLen,
                      " values, the model's have ", head_dim));
}

}  // namespace lockstep
