// PanelPacker and WeightWriter: the bytes that reach a device are those that pack_rows() gives,
// whatever the sizes of pieces and buffers, and on a CPU nothing is staged.
#include "node/model/weights/panel_packer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/layout/quant.h"
#include "tests/support/cpu_device.h"
#include "tests/support/fake_model_file.h"
#include "tests/support/lazy_device.h"

namespace lockstep::testing {
namespace {

constexpr int64_t kColumns = 64;

struct Source {
  Source(WeightType type, int64_t n_rows)
      : matrix{.type = type, .n_rows = n_rows, .k = kColumns, .leaves = {}},
        bytes(random_weights(type, n_rows * round_up(kColumns, source_block_len(type)), 1.0f,
                             random)),
        row_bytes(source_row_bytes(type, kColumns)),
        expected(static_cast<size_t>(packed_bytes(matrix))) {
    pack_rows(matrix, expected.data(), 0, n_rows, bytes.data(), row_bytes);
  }
  // Packs all rows, n_piece at a time, into memory of `device`.
  void pack(WeightWriter& writer, std::byte* to, int64_t n_piece) const {
    PackedWeights dst = matrix;
    dst.data = to;
    PanelPacker packer(dst, writer);
    for (int64_t row = 0; row < matrix.n_rows; row += n_piece) {
      packer.append(std::min(n_piece, matrix.n_rows - row), bytes.data() + row * row_bytes,
                    row_bytes);
    }
  }

  SeededRandom random{3};
  PackedWeights matrix;
  std::vector<std::byte> bytes;
  int64_t row_bytes;
  std::vector<std::byte> expected;
};

TEST(PanelPacker, WhatReachesTheDeviceIsThePackedMatrixWhateverThePieces) {
  MemoryLedger ledger;
  LazyDevice device({});
  const auto stream = device.make_stream({}, ledger);
  for (const WeightType type : {WeightType::kF32, WeightType::kQ4_1, WeightType::kQ5_K}) {
    for (const int64_t n_rows : {1, 16, 17, 80, 95}) {
      const Source source(type, n_rows);
      const auto n_bytes = static_cast<int64_t>(source.expected.size());
      const int64_t panel_bytes = packed_bytes({type, 1, kColumns, {}});
      for (const int64_t staging_bytes : {int64_t{1}, panel_bytes, 2 * panel_bytes + 5, n_bytes}) {
        for (const int64_t n_piece : {1, 7, 16, 95}) {
          const DeviceBuffer to(device, ledger, MemoryTag::kWeights, n_bytes);
          {
            WeightWriter writer(device, *stream, ledger, staging_bytes);
            source.pack(writer, to.data(), n_piece);
          }
          std::vector<std::byte> got(source.expected.size());
          device.download(got.data(), to.data(), n_bytes);
          ASSERT_EQ(got, source.expected)
              << n_rows << " rows, staging of " << staging_bytes << ", pieces of " << n_piece;
        }
      }
    }
  }
  EXPECT_EQ(ledger.bytes(MemoryTag::kLoad), 0);
}

TEST(PanelPacker, ACpuPacksWhereTheMatrixStays) {
  MemoryLedger ledger;
  const Source source(WeightType::kQ8_0, 50);
  std::vector<std::byte> to(source.expected.size());
  WeightWriter writer(cpu_device(), cpu_stream(), ledger, 1);
  source.pack(writer, to.data(), 50);
  EXPECT_EQ(to, source.expected);
  EXPECT_EQ(ledger.peak_bytes(MemoryTag::kLoad), 0);
}

}  // namespace
}  // namespace lockstep::testing
