#include "bench/gpu/bit_cases.h"
#include "common/units.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"

namespace lockstep::gpu_check {
namespace {

constexpr int64_t kFirstRow = 100;

struct EmbedCase {
  uint64_t seed;
  WeightType type;
  int64_t n_rows, leaf_k;
  int n_leaves = 1;
  float scale = 1.0f;
  PackedLayout layout = PackedLayout::kRows;

  std::string text() const {
    return std::string(to_string(type)) + ", " + std::to_string(n_rows) + " rows of " +
           std::to_string(n_leaves) + " x " + std::to_string(leaf_k) +
           (layout == PackedLayout::kFragments ? ", fragments" : "");
  }
};

void put(std::vector<std::byte>& bytes, int64_t at, uint16_t value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Rows as in a file: every bit pattern of quants; scales of either sign.
std::vector<std::byte> random_rows(Random& random, WeightType type, int64_t n_values) {
  std::vector<std::byte> bytes(static_cast<size_t>(source_row_bytes(type, n_values)));
  if (!is_quantized(type)) {
    for (int64_t i = 0; i < n_values; ++i) {
      const float value = i % 11 == 0 ? -0.0f : random.normal();
      if (type == WeightType::kF32) std::memcpy(bytes.data() + 4 * i, &value, sizeof value);
      if (type == WeightType::kF16) put(bytes, 2 * i, f32_to_f16(value));
      if (type == WeightType::kBF16) put(bytes, 2 * i, f32_to_bf16(value));
    }
    return bytes;
  }
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.integer(0, 255));
  for (int64_t at = 0; at < std::ssize(bytes); at += source_block_bytes(type)) {
    const int64_t scale = at + source_scale_offset(type);
    put(bytes, scale, f32_to_f16(random.normal(0.02f)));
    if (has_min(type)) put(bytes, scale + 2, f32_to_f16(random.normal(0.1f)));
  }
  return bytes;
}

std::vector<Output> run(const EmbedCase& c, Side& side) {
  Random random(c.seed);
  PackedWeights table{c.type, c.n_rows, c.leaf_k * c.n_leaves, {c.n_leaves, 0, c.n_leaves}, {}};
  table.layout = c.layout;
  // A row may end inside a super-block, which no row of a file does.
  const int64_t row_len = is_k_quant(c.type) ? round_up(table.k, kSuperLen) : table.k;
  const std::vector<std::byte> rows = random_rows(random, c.type, c.n_rows * row_len);
  std::vector<std::byte> packed(static_cast<size_t>(packed_bytes(table)));
  pack_rows(table, packed.data(), 0, c.n_rows, rows.data(), source_row_bytes(c.type, table.k));
  table.data = side.place(packed);
  std::vector<int32_t> ids{kFirstRow - 1, kFirstRow, -1,
                           static_cast<int32_t>(kFirstRow + c.n_rows)};
  for (int i = 0; i < 3; ++i) {
    ids.push_back(static_cast<int32_t>(kFirstRow + random.integer(0, c.n_rows - 1)));
  }
  std::vector<float> out(ids.size() * static_cast<size_t>(table.k), -7.0f);
  embed({.ids = side.in(ids, {std::ssize(ids)}),
         .table = table,
         .first_row = kFirstRow,
         .scale = c.scale,
         .out = side.out("out", out, {std::ssize(ids), table.k})},
        side.stream());
  return side.outputs();
}

}  // namespace

std::vector<BitCase> embed_cases(Sizes sizes) {
  std::vector<EmbedCase> cases;
  uint64_t seed = 1;
  for (int type = 0; type <= static_cast<int>(WeightType::kQ6_K); ++type) {
    const auto t = static_cast<WeightType>(type);
    cases.push_back({seed++, t, 21, 96, 1, 3.5f});
    cases.push_back({seed++, t, 3, 69 * kBlockLen});  // uneven lanes
    cases.push_back({seed++, t, 17, 64, 3});
    if (is_quantized(t)) {
      cases.push_back({seed++, t, 21, 96, 1, 3.5f, PackedLayout::kFragments});
      cases.push_back({seed++, t, 3, 69 * kBlockLen, 1, 1.0f, PackedLayout::kFragments});
    } else {
      cases.push_back({seed++, t, 5, 50, 2});
      cases.push_back({seed++, t, 2, 66 * kBlockLen + 7});  // 16 lanes; the last block is short
    }
    if (sizes == Sizes::kLarge) cases.push_back({seed++, t, 3000, 4096});
  }
  std::vector<BitCase> list;
  for (const EmbedCase& c : cases) {
    list.push_back({"embed", c.text(), [c](Side& side) { return run(c, side); }});
  }
  return list;
}

}  // namespace lockstep::gpu_check
