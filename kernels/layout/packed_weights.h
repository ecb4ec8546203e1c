// PackedWeights: a weight matrix repacked for the kernels. Rows are interleaved in panels of 16, so
// that one SIMD element is one output row. The blocks of 32 values of a panel lie in the order in
// which they are summed: leaf by leaf, and lane by lane inside a leaf (docs/numerics.md sections 2
// and 6). The struct does not own the bytes; the code that called pack_rows() does.
//
// One panel: blocks b0, b1, … in summing order, each of them (PackedLayout::kRows)
//   quantised types:  | scale f16 [16] | min f16 [16], if the type has one | high bits | quants |
//   float types:      | value [32][16], k ascending |
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

// The order of the values inside one block of a panel of a quantised type. The bytes of a matrix
// and the places of its blocks are the same in both.
enum class PackedLayout : uint8_t {
  kRows,       // for CPUs: packed_layout.h
  kFragments,  // for tensor cores: fragment_layout.h
};

struct PackedWeights {
  WeightType type = WeightType::kF32;
  int64_t n_rows = 0;  // rows of the matrix; the last panel is padded with zero rows
  int64_t k = 0;       // columns of this rank: leaves.n * leaf_k()
  LeafRange leaves;    // leaves of K that this rank owns
  const std::byte* data = nullptr;
  PackedLayout layout = PackedLayout::kRows;  // the back end's choice

  int64_t leaf_k() const { return k / leaves.n; }
};

// Bytes of `n` values of a row in the layout of the file (GGUF blocks).
int64_t source_row_bytes(WeightType type, int64_t n);

// Bytes of a packed matrix, the padding rows of its last panel included.
int64_t packed_bytes(WeightType type, int64_t n_rows, int64_t k);

// Packs rows [first_row, first_row + n_source_rows) of `dst`, in the layout that dst.layout names.
// `source` holds n_source_rows rows in the layout of the file, `source_stride` bytes apart, each
// starting at the first of dst.k columns. Calls may pack the rows in any order, any number at a
// time, but the rows of a panel in one thread; each row must be packed once. The call that packs
// the last row also writes the padding rows.
void pack_rows(const PackedWeights& dst, std::byte* dst_data, int64_t first_row,
               int64_t n_source_rows, const std::byte* source, int64_t source_stride);

// Writes the dequantised values of one row, in column order. For embeddings, tests, the reference.
void unpack_row(const PackedWeights& weights, int64_t row, std::span<float> out);

}  // namespace lockstep
