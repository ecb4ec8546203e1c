// k_quant_rows.h: rows of K-quants in packed matrices, in both layouts (packed_layout.h,
// fragment_layout.h). packed_weights.cpp calls it; other code calls the functions of
// packed_weights.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/layout/packed_layout.h"

namespace lockstep {

// Writes row `row` of a panel. `source` is the source_span(dst) of the row in the file.
void pack_k_quant_row(const PackedWeights& dst, std::byte* panel, int row, const std::byte* source);

// read_block() of a K-quant.
RowBlock read_k_quant(const PackedWeights& weights, int64_t row, int64_t block);

}  // namespace lockstep
