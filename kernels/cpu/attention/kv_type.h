// KvType: the dtypes of the KV cache, for code that does not know Views and their other dtypes.
#pragma once

#include <cstdint>

#include "kernels/view.h"

namespace lockstep {

enum class KvType : uint8_t { kF32, kF16, kBF16, kQ8_0, kK16V8, kK16V16 };

constexpr KvType kv_type(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return KvType::kF16;
    case DType::kBF16:
      return KvType::kBF16;
    case DType::kQ8_0:
      return KvType::kQ8_0;
    case DType::kK16V8:
      return KvType::kK16V8;
    case DType::kK16V16:
      return KvType::kK16V16;
    default:
      return KvType::kF32;
  }
}

}  // namespace lockstep
