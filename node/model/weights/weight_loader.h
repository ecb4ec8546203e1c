// WeightLoader: reads one rank's slices of the tensors of a ModelFile into packed matrices, a few
// hundred kB at a time: hash, look for numbers that are none, repack, tell the kernel that the
// file's pages are no longer needed. So the load peak is what stays resident plus one chunk. The
// rank's own thread. Throws LoadError naming tensor and offset for a NaN or an infinity, and for a
// file that changed meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "node/model/model_file.h"
#include "node/model/weights/fingerprint.h"

namespace lockstep {

// Rows [first, first + n) of a tensor, in units of unit_rows (fingerprint).
struct RowSlice {
  const Tensor* tensor = nullptr;
  int64_t first = 0;
  int64_t n = 0;
  int64_t unit_rows = 1;
};

class WeightLoader {
 public:
  explicit WeightLoader(const ModelFile& file) : file_(file) {}

  // A slice of rows, whole columns, to rows [dst_row, …) of dst.
  void load_rows(const RowSlice& slice, const PackedWeights& dst, int64_t dst_row);
  // All rows, the columns of dst.leaves. Every leaf is a unit.
  void load_columns(const Tensor& tensor, const PackedWeights& dst);
  // Values of a vector, widened to f32. Every unit_rows values are a unit.
  void load_vector(const RowSlice& slice, float* dst);

  std::vector<UnitDigest> take_digests() { return std::move(digests_); }

 private:
  void finish_unit(const Tensor& tensor, int64_t unit, Hasher& hasher);
  // Whole values or blocks: hashed, and every number of them must be one.
  void inspect(const Tensor& tensor, std::span<const std::byte> bytes, Hasher& hasher) const;
  void refuse_non_finite(const Tensor& tensor, std::span<const std::byte> bytes) const;

  const ModelFile& file_;
  Hasher hasher_;
  std::vector<Hasher> leaf_hashers_;
  std::vector<UnitDigest> digests_;
};

}  // namespace lockstep
