// PackedWeights: a weight matrix repacked for the kernels. Rows are interleaved in panels of 16, so
// that one SIMD element is one output row; blocks of 32 values run in the order in which they are
// summed (leaf by leaf, lane by lane). The bytes belong to whoever packed them.
//
// One panel, blocks b0, b1, … in summing order (docs/numerics.md, "Packed layout"):
//   quantised block: | scale f16 [16] | min f16 [16], types with one | high bits | quants |
//   float:           | k ascending inside the block: value [32][16] |
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/layout/leaves.h"

namespace lockstep {

enum class WeightType : uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1 };
const char* to_string(WeightType type);

constexpr bool is_quantized(WeightType type) { return type >= WeightType::kQ8_0; }

inline constexpr int kPanelRows = 16;

struct PackedWeights {
  WeightType type = WeightType::kF32;
  int64_t n_rows = 0;  // logical; the last panel is padded with zero rows
  int64_t k = 0;       // this rank's columns: leaves.n * leaf_k
  LeafRange leaves;    // of the summed dimension
  const std::byte* data = nullptr;

  int64_t leaf_k() const { return k / leaves.n; }
};

// Bytes of `n` values of a row in the file's own layout (GGUF blocks).
int64_t source_row_bytes(WeightType type, int64_t n);

int64_t packed_bytes(WeightType type, int64_t n_rows, int64_t k);

// Packs rows [first_row, first_row + n_source_rows) of `dst` from file-order rows. `source` holds
// n_source_rows rows, `source_stride` bytes apart, each starting at the first of dst.k columns.
// Rows may arrive in any order and any number at a time; each must arrive once.
void pack_rows(const PackedWeights& dst, std::byte* dst_data, int64_t first_row,
               int64_t n_source_rows, const std::byte* source, int64_t source_stride);

// The dequantised values of one row, in column order; for embeddings, tests and the reference.
void unpack_row(const PackedWeights& weights, int64_t row, std::span<float> out);

}  // namespace lockstep
