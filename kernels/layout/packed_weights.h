// PackedWeights: a weight matrix repacked for the kernels. Rows are interleaved in panels of 16, so
// that one SIMD element is one output row. The blocks of 32 values of a panel lie in the order in
// which they are summed: leaf by leaf, and lane by lane inside a leaf (docs/numerics.md sections 2
// and 6). The struct does not own the bytes; the code that called pack_rows() does.
//
// One panel: blocks b0, b1, … in summing order, each of them (PackedLayout::kRows)
//   quantised types:  | scale f16 [16] | min f16 [16], if the type has one | high bits | quants |
//   float types:      | value [32][16], k ascending |
//   K-quants:         | scale u8 [16] | min u8 [16], or a second scale | high bits | quants |
// Before the blocks of each leaf, K-quants have the d and dmin of its super-blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/layout/leaves.h"

namespace lockstep {

enum class WeightType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K
};
const char* to_string(WeightType type);

constexpr bool is_quantized(WeightType type) { return type >= WeightType::kQ8_0; }
constexpr bool is_k_quant(WeightType type) { return type >= WeightType::kQ4_K; }

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
  int64_t first_column() const { return leaves.first * leaf_k(); }  // of the row in the file
};

// The bytes of a row in the layout of the file (GGUF blocks) that hold some of its columns. They
// are whole blocks of the file, so a super-block of a K-quant may begin before the first column and
// end after the last.
struct SourceSpan {
  int64_t first_byte = 0;  // counted from the row's first
  int64_t n_bytes = 0;
};
SourceSpan source_span(WeightType type, int64_t first_column, int64_t n_columns);
SourceSpan source_span(const PackedWeights& weights);  // of all columns of this rank

// Bytes of a row of n values in the layout of the file.
int64_t source_row_bytes(WeightType type, int64_t n);

// Bytes of a packed matrix, the padding rows of its last panel included. Reads the shape, the type
// and the leaves.
int64_t packed_bytes(const PackedWeights& weights);

// Packs rows [first_row, first_row + n_source_rows) of `dst`, in the layout that dst.layout names.
// `source` holds the source_span(dst) of n_source_rows rows, `source_stride` bytes apart. Calls may
// pack the rows in any order, any number at a time, but the rows of a panel in one thread; each row
// must be packed once. The call that packs the last row also writes the padding rows.
void pack_rows(const PackedWeights& dst, std::byte* dst_data, int64_t first_row,
               int64_t n_source_rows, const std::byte* source, int64_t source_stride);

// Writes the dequantised values of one row, in column order. For embeddings, tests, the reference.
void unpack_row(const PackedWeights& weights, int64_t row, std::span<float> out);

}  // namespace lockstep
