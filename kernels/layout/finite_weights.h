// finite_weights.h: is every number of a weight tensor one? In a quantised block the scale and the
// minimum are floats; the quants can be anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "kernels/layout/packed_weights.h"

namespace lockstep {

struct NonFinite {
  int64_t offset = 0;          // of its first byte, in the bytes searched
  const char* what = nullptr;  // "value", "scale", "minimum"
  float value = 0;             // NaN or an infinity
};

// The first number that is NaN or infinite. `bytes`: whole values or blocks in the file's layout,
// at any alignment.
std::optional<NonFinite> find_non_finite(WeightType type, std::span<const std::byte> bytes);

}  // namespace lockstep
