// finite_weights.h: finds NaN and Inf in the bytes of a weight tensor. In a quantised block only
// the scale and the minimum are floats; any quants are valid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "kernels/layout/packed_weights.h"

namespace lockstep {

struct NonFinite {
  int64_t offset = 0;          // offset of its first byte in the bytes searched
  const char* what = nullptr;  // "value", "scale", "minimum"
  float value = 0;             // NaN or an infinity
};

// The first number that is NaN or infinite, if there is one. `bytes` are whole values or blocks in
// the layout of the file, at any alignment.
std::optional<NonFinite> find_non_finite(WeightType type, std::span<const std::byte> bytes);

}  // namespace lockstep
