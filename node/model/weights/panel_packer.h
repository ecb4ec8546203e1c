// PanelPacker: packs the rows of one matrix, from the first to the last, into a device's memory. It
// hands groups of whole panels to a WeightWriter, so a group is in host memory only while its rows
// arrive. One matrix at a time has a packer.
#pragma once

#include <cstdint>

#include "kernels/layout/packed_weights.h"
#include "node/model/weights/weight_writer.h"

namespace lockstep {

class PanelPacker {
 public:
  // dst.data: the matrix in the device's memory, packed_bytes() long. The writer must outlive the
  // packer.
  PanelPacker(const PackedWeights& dst, WeightWriter& writer);

  const PackedWeights& matrix() const { return dst_; }
  // Packs the next n rows, which are `stride` bytes apart (see pack_rows).
  void append(int64_t n, const std::byte* source, int64_t stride);

 private:
  void begin_group();
  void pack(int64_t n, const std::byte* source, int64_t stride);
  int64_t end_of_group() const { return first_ + group_.n_rows; }

  const PackedWeights dst_;
  WeightWriter& writer_;
  int64_t next_ = 0;                 // the row that append() packs next
  int64_t first_ = 0;                // row of the open group's first row
  PackedWeights group_;              // n_rows == 0: no group is open
  std::byte* group_data_ = nullptr;  // host memory
};

}  // namespace lockstep
