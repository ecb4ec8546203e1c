// WeightLoader: reads one rank's slices of the tensors of a ModelFile into packed matrices. The
// rank's own thread.
//
// A slice is read in pieces of a few hundred kB. Each piece is hashed, searched for NaN and
// infinity, repacked, and its pages of the file are released (ModelFile::release). So the peak of
// memory while loading is what stays resident plus one piece, and for a GPU the buffers of the
// WeightWriter. Throws LoadError naming tensor and offset for a NaN or an infinity, and naming the
// file if the file changed meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "node/model/model_file.h"
#include "node/model/weights/fingerprint.h"
#include "node/model/weights/panel_packer.h"

namespace lockstep {

// Rows [first, first + n) of a tensor, hashed in units of unit_rows rows (UnitDigest).
struct RowSlice {
  SourceTensor source;
  int64_t first = 0;
  int64_t n = 0;
  int64_t unit_rows = 1;
  // Rows of one head whose two halves are read in turns: 0, d/2, 1, d/2 + 1, … 0 = rows are read as
  // they lie in the file.
  int64_t paired_rows = 0;
};

class WeightLoader {
 public:
  explicit WeightLoader(const ModelFile& file) : file_(file) {}

  // Packs a slice of rows, with all columns, as the next rows of dst. Rows are hashed in the order
  // in which they are read.
  void load_rows(const RowSlice& slice, PanelPacker& dst);
  // Packs all rows of the columns that the matrix's leaves cover. Every leaf is a unit, whose bytes
  // are those of the blocks of the file that hold its columns. A super-block of a K-quant that two
  // leaves share is hashed with both: so units do not depend on the number of ranks, and no bit of
  // the file is left out.
  void load_columns(const SourceTensor& source, PanelPacker& dst);
  // Copies a slice of a vector, widened to f32, to host memory. Every unit_rows values are a unit,
  // whose widened values are hashed.
  void load_vector(const RowSlice& slice, float* dst);

  std::vector<UnitDigest> take_digests() { return std::move(digests_); }

 private:
  // Reads the rows of one head.
  void load_pairs(const Tensor& tensor, const std::byte* rows, int64_t n_rows, PanelPacker& dst);
  void finish_unit(const SourceTensor& source, int64_t unit, Hasher& hasher);
  // Hashes whole values or quantisation blocks. Throws LoadError if a number in them is not finite.
  void inspect(const Tensor& tensor, std::span<const std::byte> bytes, Hasher& hasher) const;
  void refuse_non_finite(const Tensor& tensor, std::span<const std::byte> bytes) const;

  const ModelFile& file_;
  Hasher hasher_;
  std::vector<Hasher> leaf_hashers_;
  std::vector<UnitDigest> digests_;
};

}  // namespace lockstep
