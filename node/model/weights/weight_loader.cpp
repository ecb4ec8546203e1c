#include "node/model/weights/weight_loader.h"

#include <algorithm>
#include <cstring>

#include "common/check.h"
#include "common/load_error.h"
#include "common/log.h"
#include "common/units.h"
#include "kernels/layout/finite_weights.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"

namespace lockstep {

namespace {

constexpr int64_t kChunkBytes = 256_KiB;  // stays in cache between hashing and packing
constexpr size_t kPieceBytes = 16 << 10;  // stays in the L1 cache between hashing and the search

int64_t rows_per_chunk(const Tensor& tensor) {
  return std::max<int64_t>(1, kChunkBytes / tensor.row_bytes());
}

// The row that is read in place i, of rows of which each `paired_rows` are read in pairs.
int64_t read_at(int64_t i, int64_t paired_rows) {
  if (paired_rows == 0) return i;
  const int64_t row = i % paired_rows;
  return i - row + row % 2 * (paired_rows / 2) + row / 2;
}

float widen(WeightType type, const std::byte* value) {
  uint16_t half;
  float single;
  switch (type) {
    case WeightType::kF32:
      std::memcpy(&single, value, sizeof(single));
      return single;
    case WeightType::kF16:
      std::memcpy(&half, value, sizeof(half));
      return f16_to_f32(half);
    default:
      std::memcpy(&half, value, sizeof(half));
      return bf16_to_f32(half);
  }
}

}  // namespace

void WeightLoader::load_rows(const RowSlice& slice, PanelPacker& dst) {
  const Tensor& tensor = *slice.source.tensor;
  CHECK_EQ(slice.first % slice.unit_rows, 0);
  const bool in_pairs = slice.paired_rows > 0;
  CHECK(!in_pairs || slice.unit_rows % slice.paired_rows == 0);
  const int64_t row_bytes = tensor.row_bytes();
  const int64_t n_at_once = in_pairs ? slice.paired_rows : rows_per_chunk(tensor);
  const int64_t end = slice.first + slice.n;
  for (int64_t row = slice.first; row < end;) {
    const int64_t unit_end = std::min((row / slice.unit_rows + 1) * slice.unit_rows, end);
    const int64_t n = std::min(unit_end - row, n_at_once);
    const std::byte* source = tensor.data + row * row_bytes;
    if (in_pairs) {
      load_pairs(tensor, source, n, dst);
    } else {
      inspect(tensor, {source, static_cast<size_t>(n * row_bytes)}, hasher_);
      dst.append(n, source, row_bytes);
    }
    file_.release(source, n * row_bytes);
    if (row + n == unit_end) finish_unit(slice.source, row / slice.unit_rows, hasher_);
    row += n;
  }
  file_.check_unchanged();
}

void WeightLoader::load_pairs(const Tensor& tensor, const std::byte* rows, int64_t n_rows,
                              PanelPacker& dst) {
  const int64_t row_bytes = tensor.row_bytes();
  const int64_t half_bytes = n_rows / 2 * row_bytes;
  const auto n_bytes = static_cast<size_t>(row_bytes);
  for (const std::byte* row = rows; row < rows + half_bytes; row += row_bytes) {
    inspect(tensor, {row, n_bytes}, hasher_);
    inspect(tensor, {row + half_bytes, n_bytes}, hasher_);
    dst.append(2, row, half_bytes);
  }
}

void WeightLoader::load_columns(const SourceTensor& source, PanelPacker& dst) {
  const Tensor& tensor = *source.tensor;
  const LeafRange leaves = dst.matrix().leaves;
  const int64_t leaf_k = dst.matrix().leaf_k();
  const int64_t row_bytes = tensor.row_bytes();
  const auto n_leaves = static_cast<size_t>(leaves.n);
  std::vector<SourceSpan> spans;  // of each leaf in a row
  for (int leaf = leaves.first; leaf < leaves.first + leaves.n; ++leaf) {
    spans.push_back(source_span(tensor.type, leaf * leaf_k, leaf_k));
  }
  if (leaf_hashers_.size() < n_leaves) leaf_hashers_.resize(n_leaves);
  for (int64_t row = 0; row < tensor.n_rows;) {
    const int64_t n = std::min(tensor.n_rows - row, rows_per_chunk(tensor));
    const std::byte* rows = tensor.data + row * row_bytes;
    for (int64_t i = 0; i < n; ++i) {
      const std::byte* file_row = rows + i * row_bytes;
      for (size_t l = 0; l < n_leaves; ++l) {
        inspect(tensor, {file_row + spans[l].first_byte, static_cast<size_t>(spans[l].n_bytes)},
                leaf_hashers_[l]);
      }
    }
    dst.append(n, rows + spans.front().first_byte, row_bytes);
    file_.release(rows, n * row_bytes);
    row += n;
  }
  for (size_t l = 0; l < n_leaves; ++l) {
    finish_unit(source, leaves.first + static_cast<int64_t>(l), leaf_hashers_[l]);
  }
  file_.check_unchanged();
}

void WeightLoader::load_vector(const RowSlice& slice, float* dst) {
  const Tensor& tensor = *slice.source.tensor;
  CHECK_EQ(slice.first % slice.unit_rows, 0);
  if (is_quantized(tensor.type)) {
    throw LoadError(str("tensor ", tensor.name, " at offset ", tensor.file_offset, ": a vector of ",
                        to_string(tensor.type), "; F32, F16 or BF16 expected"));
  }
  const int64_t size = source_row_bytes(tensor.type, 1);
  for (int64_t i = 0; i < slice.n; i += slice.unit_rows) {
    const int64_t n = std::min(slice.unit_rows, slice.n - i);
    const std::byte* values = tensor.data + (slice.first + i) * size;
    refuse_non_finite(tensor, {values, static_cast<size_t>(n * size)});
    for (int64_t j = 0; j < n; ++j) {
      dst[i + j] = widen(tensor.type, values + read_at(j, slice.paired_rows) * size);
    }
    hasher_.update(std::as_bytes(std::span(dst + i, static_cast<size_t>(n))));
    finish_unit(slice.source, (slice.first + i) / slice.unit_rows, hasher_);
  }
  file_.check_unchanged();
}

void WeightLoader::inspect(const Tensor& tensor, std::span<const std::byte> bytes,
                           Hasher& hasher) const {
  const auto block_bytes = static_cast<size_t>(source_block_bytes(tensor.type));
  const size_t piece_bytes = kPieceBytes / block_bytes * block_bytes;
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), piece_bytes));
    hasher.update(piece);
    refuse_non_finite(tensor, piece);
    bytes = bytes.subspan(piece.size());
  }
}

void WeightLoader::refuse_non_finite(const Tensor& tensor, std::span<const std::byte> bytes) const {
  const auto found = find_non_finite(tensor.type, bytes);
  if (!found) return;
  file_.check_unchanged();  // throws if a changed file explains the value
  throw LoadError(
      str("tensor ", tensor.name, " at offset ",
          tensor.file_offset + static_cast<uint64_t>(bytes.data() - tensor.data + found->offset),
          ": a ", found->what, " of type ", to_string(tensor.type), " is ", found->value,
          "; the file is damaged"));
}

void WeightLoader::finish_unit(const SourceTensor& source, int64_t unit, Hasher& hasher) {
  digests_.push_back({source, static_cast<int32_t>(unit), hasher.digest()});
  hasher.reset();
}

}  // namespace lockstep
