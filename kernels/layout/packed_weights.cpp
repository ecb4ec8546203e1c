#include "kernels/layout/packed_weights.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "common/check.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/fragment_layout.h"
#include "kernels/layout/k_quant_rows.h"
#include "kernels/layout/packed_layout.h"
#include "kernels/layout/quant.h"

namespace lockstep {
namespace {

// Copies the quants of one row in words of four bytes. Word g begins with value 4g (of 4-bit types,
// in the low nibble).
void pack_words(const void* source, int n_words, std::byte* quants, int row) {
  for (int g = 0; g < n_words; ++g) {
    std::memcpy(quants + 4 * kPanelRows * g + 4 * row,
                static_cast<const std::byte*>(source) + 4 * g, 4);
  }
}

// The bits 0, 4, 8, … 28 of `word`, side by side.
uint8_t every_fourth_bit(uint32_t word) {
  word &= 0x11111111u;
  word = (word | word >> 3) & 0x03030303u;
  word = (word | word >> 6) & 0x000f000fu;
  return static_cast<uint8_t>(word | word >> 12);
}

void pack_high_bits(const uint8_t (&source)[4], std::byte* high, int row) {
  uint32_t bits = 0;
  std::memcpy(&bits, source, sizeof bits);
  for (int j = 0; j < 4; ++j) high[4 * row + j] = std::byte{every_fourth_bit(bits >> j)};
}

void pack_f16(uint16_t value, std::byte* values, int row) {
  std::memcpy(values + 2 * row, &value, sizeof value);
}

template <class Block>
void pack_block(const std::byte* source, const BlockLayout& layout, std::byte* dst, int row) {
  Block block;
  std::memcpy(&block, source, sizeof block);
  pack_f16(block.scale, dst, row);
  if constexpr (requires { block.min; }) pack_f16(block.min, dst + layout.min, row);
  if constexpr (requires { block.high; }) pack_high_bits(block.high, dst + layout.high, row);
  pack_words(block.quants, sizeof block.quants / 4, dst + layout.quants, row);
}

template <class Block>
void pack_quantized_row(const PackedWeights& dst, std::byte* panel, int row,
                        const std::byte* source) {
  const BlockLayout layout = block_layout(dst.type);
  for_each_block(dst, [&](int64_t block, int /*len*/) {
    pack_block<Block>(source + block * sizeof(Block), layout, panel, row);
    panel += layout.bytes;
  });
}

// Moves values without reading them as floats.
void pack_float_row(const PackedWeights& dst, std::byte* panel, int row, const std::byte* source) {
  const LeafCut cut(dst.leaf_k());
  const size_t size = static_cast<size_t>(float_bytes(dst.type));
  panel += row * size;
  for_each_block(dst, [&](int64_t block, int len) {
    const std::byte* values = source + cut.first_value(block) * size;
    for (int i = 0; i < len; ++i, values += size, panel += kPanelRows * size) {
      std::memcpy(panel, values, size);
    }
  });
}

void pack_row_in_fragments(const PackedWeights& dst, std::byte* panel, int row,
                           const std::byte* source) {
  const int64_t source_bytes = source_block_bytes(dst.type);
  for_each_block(dst, [&](int64_t block, int /*len*/) {
    pack_fragments(dst.type, source + block * source_bytes, 0, panel, row);
    panel += fragment_layout(dst.type).bytes;
  });
}

void pack_row(const PackedWeights& dst, std::byte* data, int64_t at, const std::byte* source) {
  std::byte* panel = data + at / kPanelRows * panel_bytes(dst);
  const int row = static_cast<int>(at % kPanelRows);
  if (is_k_quant(dst.type)) return pack_k_quant_row(dst, panel, row, source);
  if (dst.layout == PackedLayout::kFragments && is_quantized(dst.type)) {
    return pack_row_in_fragments(dst, panel, row, source);
  }
  switch (dst.type) {
    case WeightType::kQ8_0:
      return pack_quantized_row<BlockQ8_0>(dst, panel, row, source);
    case WeightType::kQ4_0:
      return pack_quantized_row<BlockQ4_0>(dst, panel, row, source);
    case WeightType::kQ4_1:
      return pack_quantized_row<BlockQ4_1>(dst, panel, row, source);
    case WeightType::kQ5_0:
      return pack_quantized_row<BlockQ5_0>(dst, panel, row, source);
    case WeightType::kQ5_1:
      return pack_quantized_row<BlockQ5_1>(dst, panel, row, source);
    default:
      return pack_float_row(dst, panel, row, source);
  }
}

float read_f16(const std::byte* values, int row) {
  uint16_t half = 0;
  std::memcpy(&half, values + 2 * row, sizeof half);
  return f16_to_f32(half);
}

RowBlock read_fragments(WeightType type, const std::byte* block, int row) {
  RowBlock result;
  result.scale = read_f16(block + fragment_scale(type, row), 0);
  if (has_min(type)) result.min = read_f16(block + fragment_min(type, row), 0);
  for (int k = 0; k < kBlockLen; ++k) {
    result.q[k] = fragment_quant(type, reinterpret_cast<const uint8_t*>(block), row, k);
  }
  return result;
}

void check_shape(const PackedWeights& weights) {
  CHECK(weights.leaves.n >= 1 && weights.leaves.first >= 0);
  CHECK(weights.leaves.first + weights.leaves.n <= weights.leaves.n_total);
  CHECK_EQ(weights.k % weights.leaves.n, 0);
  CHECK(!is_quantized(weights.type) || weights.leaf_k() % kBlockLen == 0);
}

}  // namespace

const char* to_string(WeightType type) {
  constexpr const char* kNames[] = {"F32",  "F16",  "BF16", "Q8_0", "Q4_0", "Q4_1",
                                    "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"};
  return kNames[static_cast<int>(type)];
}

SourceSpan source_span(WeightType type, int64_t first_column, int64_t n_columns) {
  const int64_t bytes = source_block_bytes(type), end = first_column + n_columns;
  if (!is_quantized(type)) {
    return {first_column * bytes / kBlockLen, n_columns * bytes / kBlockLen};
  }
  CHECK(first_column % kBlockLen == 0 && n_columns % kBlockLen == 0);
  const int64_t len = source_block_len(type);
  const int64_t first_block = first_column / len, end_block = (end + len - 1) / len;
  return {first_block * bytes, (end_block - first_block) * bytes};
}

SourceSpan source_span(const PackedWeights& weights) {
  return source_span(weights.type, weights.first_column(), weights.k);
}

int64_t source_row_bytes(WeightType type, int64_t n) { return source_span(type, 0, n).n_bytes; }

int64_t packed_bytes(const PackedWeights& weights) {
  check_shape(weights);
  return (weights.n_rows + kPanelRows - 1) / kPanelRows * panel_bytes(weights);
}

void pack_rows(const PackedWeights& dst, std::byte* dst_data, int64_t first_row,
               int64_t n_source_rows, const std::byte* source, int64_t source_stride) {
  check_shape(dst);
  CHECK(first_row >= 0 && first_row + n_source_rows <= dst.n_rows);
  for (int64_t i = 0; i < n_source_rows; ++i) {
    pack_row(dst, dst_data, first_row + i, source + i * source_stride);
  }
  if (n_source_rows == 0 || first_row + n_source_rows < dst.n_rows) return;
  // This call packed the last row: rows of zeros pad its panel.
  const std::vector<std::byte> zeros(static_cast<size_t>(source_span(dst).n_bytes));
  for (int64_t row = dst.n_rows; row % kPanelRows != 0; ++row) {
    pack_row(dst, dst_data, row, zeros.data());
  }
}

RowBlock read_block(const PackedWeights& weights, int64_t row, int64_t block) {
  if (is_k_quant(weights.type)) return read_k_quant(weights, row, block);
  const BlockLayout layout = block_layout(weights.type);
  const std::byte* data = weights.data + block_offset(weights, row, block);
  const int lane = static_cast<int>(row % kPanelRows);
  if (weights.layout == PackedLayout::kFragments) return read_fragments(weights.type, data, lane);
  RowBlock result;
  result.scale = read_f16(data, lane);
  if (has_min(weights.type)) result.min = read_f16(data + layout.min, lane);
  for (int k = 0; k < kBlockLen; ++k) {
    result.q[k] = row_quant(weights.type, reinterpret_cast<const uint8_t*>(data), lane, k);
  }
  return result;
}

float read_value(const PackedWeights& weights, int64_t row, int64_t k) {
  const LeafCut cut(weights.leaf_k());
  const int64_t leaf = k / weights.leaf_k();
  const int64_t in_leaf = k - leaf * weights.leaf_k();
  const std::byte* block =
      weights.data + block_offset(weights, row, leaf * cut.n_blocks + in_leaf / kBlockLen);
  const int64_t size = float_bytes(weights.type);
  const std::byte* value = block + (in_leaf % kBlockLen * kPanelRows + row % kPanelRows) * size;
  if (weights.type == WeightType::kF32) {
    float f = 0.0f;
    std::memcpy(&f, value, sizeof f);
    return f;
  }
  uint16_t half = 0;
  std::memcpy(&half, value, sizeof half);
  return weights.type == WeightType::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
}

void unpack_row(const PackedWeights& weights, int64_t row, std::span<float> out) {
  CHECK(row >= 0 && row < weights.n_rows);
  CHECK_EQ(static_cast<int64_t>(out.size()), weights.k);
  if (!is_quantized(weights.type)) {
    for (int64_t k = 0; k < weights.k; ++k) out[k] = read_value(weights, row, k);
    return;
  }
  for (int64_t b = 0; b < weights.k / kBlockLen; ++b) {
    const RowBlock block = read_block(weights, row, b);
    for (int k = 0; k < kBlockLen; ++k) {
      const float q = static_cast<float>(block.q[k]);
      out[b * kBlockLen + k] =
          has_min(weights.type) ? std::fma(block.scale, q, block.min) : block.scale * q;
    }
  }
}

}  // namespace lockstep
