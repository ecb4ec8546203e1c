#include "node/model/weights/panel_packer.h"

#include <algorithm>

#include "common/check.h"

namespace lockstep {

PanelPacker::PanelPacker(const PackedWeights& dst, WeightWriter& writer)
    : dst_(dst), writer_(writer), group_(dst) {
  group_.n_rows = 0;
}

void PanelPacker::append(int64_t n, const std::byte* source, int64_t stride) {
  CHECK(next_ + n <= dst_.n_rows);
  while (n > 0) {
    if (group_.n_rows == 0) begin_group();
    const int64_t n_now = std::min(n, end_of_group() - next_);
    pack(n_now, source, stride);
    source += n_now * stride;
    n -= n_now;
  }
}

void PanelPacker::begin_group() {
  PackedWeights one_row = dst_;
  one_row.n_rows = 1;
  const int64_t panel_bytes = packed_bytes(one_row);
  const int64_t n_panels = std::max<int64_t>(writer_.max_piece_bytes() / panel_bytes, 1);
  const int64_t n_left = dst_.n_rows - next_;
  first_ = next_;
  group_.n_rows = n_panels > n_left / kPanelRows ? n_left : n_panels * kPanelRows;
  std::byte* const to = const_cast<std::byte*>(dst_.data) + first_ / kPanelRows * panel_bytes;
  group_data_ = writer_.begin(to, packed_bytes(group_));
}

void PanelPacker::pack(int64_t n, const std::byte* source, int64_t stride) {
  pack_rows(group_, group_data_, next_ - first_, n, source, stride);
  next_ += n;
  if (next_ < end_of_group()) return;
  writer_.commit();
  group_.n_rows = 0;
}

}  // namespace lockstep
