// The data types in which a rank keeps keys and values: the values of --kv-cache-dtype.
#pragma once

#include <string>

#include "node/model/model_file.h"

namespace lockstep {

inline constexpr const char* kKvDtypeNames = "auto|f16|bf16|f32|q8_0|k16v8|k16v16";

const char* kv_dtype_name(DType dtype);

// The dtype of this name. `auto` stands for k16v8 where a matrix of the model's layers is
// quantised, whose rounding exceeds that of k16v8, and else for k16v16 (docs/numerics.md section
// 7). Throws LoadError naming the field if there is no such dtype, or if it cannot hold keys and
// values of the model's head_dim.
DType kv_dtype_of(const std::string& name, const ModelFile& file);

// Throws LoadError if keys and values of the model's head_dim cannot be stored in this dtype.
void check_kv_dtype(const ModelConfig& model, DType kv_dtype);

}  // namespace lockstep
