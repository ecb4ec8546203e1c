#include "kernels/layout/k_quant_rows.h"

#include <cstring>

#include "common/check.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/fragment_layout.h"
#include "kernels/layout/k_quants.h"

namespace lockstep {
namespace {

void pack_nibbles(const BlockOfSuper& block, std::byte* quants, int row) {
  const Nibbles nibbles = nibbles_of(block);
  for (int g = 0; g < 4; ++g) {
    std::memcpy(quants + 4 * kPanelRows * g + 4 * row, nibbles.of + 4 * g, 4);
  }
}

// n_bits: 1 or 2 above each nibble, so that a byte holds those of eight or of four values, or none.
void pack_high_bits(const BlockOfSuper& block, int n_bits, std::byte* high, int row) {
  if (n_bits == 0) return;
  const int n_values = 8 / n_bits;
  for (int h = 0; h < n_bits; ++h) {
    for (int j = 0; j < 4; ++j) {
      int bits = 0;
      for (int i = 0; i < n_values; ++i) {
        bits |= block.q[4 * (h * n_values + i) + j] >> 4 << n_bits * i;
      }
      high[4 * kPanelRows * h + 4 * row + j] = static_cast<std::byte>(bits);
    }
  }
}

void pack_block(WeightType type, const BlockOfSuper& block, std::byte* dst, int row) {
  const BlockLayout layout = block_layout(type);
  dst[row] = std::byte{block.scales[0]};
  dst[layout.min + row] = std::byte{block.scales[1]};
  pack_high_bits(block, n_high_bits(type), dst + layout.high, row);
  pack_nibbles(block, dst + layout.quants, row);
}

// The places of a row's d in a header. -dmin, of types that have it, lies min_after bytes further.
struct HeaderPlace {
  int d, min_after;
};
HeaderPlace place_in_header(WeightType type, PackedLayout layout, int row) {
  if (layout == PackedLayout::kRows) return {2 * row, 2 * kPanelRows};
  return {fragment_f16(type, row), 4};
}

// The sign of dmin is flipped here, so that w_min is one product (docs/numerics.md section 2).
template <class Super>
void pack_header(const PackedWeights& dst, const Super& super, std::byte* header, int row) {
  const HeaderPlace place = place_in_header(dst.type, dst.layout, row);
  std::memcpy(header + place.d, &super.d, sizeof super.d);
  if constexpr (requires { super.dmin; }) {
    const auto min = static_cast<uint16_t>(super.dmin ^ 0x8000u);
    std::memcpy(header + place.d + place.min_after, &min, sizeof min);
  }
}

// Packs the leaves of one row. Blocks are counted from the first of the super-block at which the
// source begins.
template <class Super>
class RowPacker {
 public:
  RowPacker(const PackedWeights& dst, int row, const std::byte* source)
      : dst_(dst), row_(row), source_(source), cut_(dst.leaf_k()) {}

  void pack(std::byte* panel) const {
    int64_t first = block_in_super(dst_, 0);
    for (int leaf = 0; leaf < dst_.leaves.n; ++leaf, first += cut_.n_blocks) {
      panel = pack_headers(first, panel);
      for (int64_t lane = 0; lane < cut_.n_lanes; ++lane) {
        for (int64_t b = lane; b < cut_.n_blocks; b += cut_.n_lanes) {
          panel = pack_block(first + b, panel);
        }
      }
    }
  }

 private:
  const std::byte* super_at(int64_t super_idx) const { return source_ + super_idx * sizeof(Super); }
  Super read(int64_t super_idx) const {
    Super super;
    std::memcpy(&super, super_at(super_idx), sizeof super);
    return super;
  }

  // Returns the end of what it wrote, like the next one.
  std::byte* pack_headers(int64_t first, std::byte* to) const {
    const std::byte* end = to + leaf_header_bytes(dst_.type, dst_.leaf_k());
    const int64_t last_super = (first + cut_.n_blocks - 1) / kBlocksPerSuper;
    for (int64_t super = first / kBlocksPerSuper; to < end; ++super) {
      pack_header(dst_, super <= last_super ? read(super) : Super{}, to, row_);
      to += header_bytes(dst_.type);
    }
    return to;
  }

  std::byte* pack_block(int64_t block, std::byte* to) const {
    const int64_t super = block / kBlocksPerSuper;
    const auto in_super = static_cast<int>(block % kBlocksPerSuper);
    if (dst_.layout == PackedLayout::kRows) {
      lockstep::pack_block(dst_.type, block_of(read(super), in_super), to, row_);
    } else {
      pack_fragments(dst_.type, super_at(super), in_super, to, row_);
    }
    return to + block_layout(dst_.type).bytes;
  }

  const PackedWeights& dst_;
  const int row_;
  const std::byte* source_;
  const LeafCut cut_;
};

float read_f16(const std::byte* value) {
  uint16_t half = 0;
  std::memcpy(&half, value, sizeof half);
  return f16_to_f32(half);
}

}  // namespace

void pack_k_quant_row(const PackedWeights& dst, std::byte* panel, int row,
                      const std::byte* source) {
  switch (dst.type) {
    case WeightType::kQ4_K:
      return RowPacker<SuperQ4_K>(dst, row, source).pack(panel);
    case WeightType::kQ5_K:
      return RowPacker<SuperQ5_K>(dst, row, source).pack(panel);
    default:
      CHECK(dst.type == WeightType::kQ6_K);
      return RowPacker<SuperQ6_K>(dst, row, source).pack(panel);
  }
}

RowBlock read_k_quant(const PackedWeights& weights, int64_t row, int64_t block) {
  const WeightType type = weights.type;
  const std::byte* header = weights.data + header_offset(weights, row, block);
  const std::byte* data = weights.data + block_offset(weights, row, block);
  const int lane = static_cast<int>(row % kPanelRows);
  const bool in_rows = weights.layout == PackedLayout::kRows;
  const auto scale = [&](int i) {
    const int64_t at =
        in_rows ? i * block_layout(type).min + lane : fragment_k_scale(type, lane, i);
    return std::to_integer<int>(data[at]);
  };
  const HeaderPlace place = place_in_header(type, weights.layout, lane);
  RowBlock result;
  result.scale = read_f16(header + place.d);
  if (has_min(type)) {
    result.min = read_f16(header + place.d + place.min_after) * static_cast<float>(scale(1));
  }
  for (int k = 0; k < kBlockLen; ++k) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(data);
    const int q = in_rows ? row_quant(type, bytes, lane, k) : fragment_quant(type, bytes, lane, k);
    result.q[k] = q * (has_min(type) ? scale(0) : static_cast<int8_t>(scale(k / 16)));
  }
  return result;
}

}  // namespace lockstep
