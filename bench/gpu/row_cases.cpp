// Cases of the ops that compute or move rows value by value.
#include <algorithm>
#include <limits>
#include <numeric>

#include "bench/gpu/bit_cases.h"
#include "kernels/kv_layout.h"

namespace lockstep::gpu_check {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// Rows of `dim` values inside wider rows.
struct Rows {
  int64_t n, dim, stride;
  std::vector<float> values;

  Rows(Random& random, int64_t n_rows, int64_t n_dims, int64_t padding = 5)
      : n(n_rows), dim(n_dims), stride(dim + padding), values(random.activations(n * stride)) {}

  float* row(int64_t i) { return values.data() + i * stride; }
  View place(Side& side) {
    View v = view(side.place(values), {n, dim});
    v.row_stride = stride;
    return v;
  }
};

// Buffers for f32 and int8 outputs; the latter are wanted where the rows are made of whole blocks.
struct ActsData {
  std::vector<float> f32, scale, sum;
  std::vector<uint8_t> q;
  std::vector<int32_t> q_sum;

  Acts place(Side& side, int64_t n, int64_t dim) {
    f32.assign(static_cast<size_t>(n * dim), -1.0f);
    Acts acts{.f32 = side.out("f32", f32, {n, dim})};
    if (dim % kBlockLen != 0) return acts;
    const int64_t n_blocks = dim / kBlockLen;
    q.assign(f32.size(), 0x55);
    scale.assign(static_cast<size_t>(n * n_blocks), -1.0f);
    sum = scale;
    q_sum.assign(scale.size(), -1);
    acts.quantized = {side.out("q", q, {n, dim}), side.out("scale", scale, {n, n_blocks}),
                      side.out("sum", sum, {n, n_blocks}), side.out("q_sum", q_sum, {n, n_blocks})};
    return acts;
  }
};

// A NaN, an Inf, and blocks of zeros, of values too small for a scale, and of the smallest that
// have one.
void break_blocks(Rows& rows) {
  rows.row(0)[3] = kNan;
  rows.row(1)[rows.dim - 1] = -kInf;
  for (int64_t d = 0; d < std::min<int64_t>(rows.dim, kBlockLen); ++d) {
    rows.row(2)[d] = d % 2 == 0 ? 0.0f : -0.0f;
    rows.row(3)[d] *= 0x1p-110f;
    rows.row(4)[d] = d == 7 ? -0x1p-96f : 0x1p-103f;
  }
}

std::vector<Output> run_quantize(int64_t n, int64_t dim, Side& side) {
  Random random(static_cast<uint64_t>(dim));
  Rows x(random, n, dim);
  break_blocks(x);
  ActsData out;
  quantize({.x = x.place(side), .out = out.place(side, n, dim).quantized}, side.stream());
  return side.outputs();
}

// Heads of the first columns of wider rows; one of the heads has a NaN, one is all zeros.
std::vector<Output> run_head_norm(int64_t n, int64_t head_dim, Side& side) {
  constexpr int64_t kHeads = 3;
  Random random(static_cast<uint64_t>(head_dim));
  Rows x(random, n, kHeads * head_dim);
  std::vector<float> weight = random.activations(head_dim);
  x.row(0)[head_dim - 1] = kNan;
  std::fill_n(x.row(1), head_dim, 0.0f);
  View heads = side.out("x", x.values, {n, kHeads, head_dim});
  heads.row_stride = x.stride;
  head_norm({.x = heads, .weight = side.in(weight, {head_dim}), .eps = 1e-6f}, side.stream());
  return side.outputs();
}

std::vector<Output> run_silu_mul(int64_t n, int64_t dim, Side& side) {
  Random random(static_cast<uint64_t>(dim));
  Rows gate(random, n, dim, 9), up(random, n, dim);
  for (float& v : gate.values) v = v * 3;
  break_blocks(gate);
  up.row(0)[dim / 2] = kInf;
  ActsData out;
  silu_mul({.gate = gate.place(side), .up = up.place(side), .out = out.place(side, n, dim)},
           side.stream());
  return side.outputs();
}

std::vector<Output> run_gather(int64_t n, int64_t dim, std::vector<int32_t> rows, Side& side) {
  Random random(static_cast<uint64_t>(dim));
  Rows x(random, n, dim);
  std::vector<float> out(rows.size() * static_cast<size_t>(dim), -1.0f);
  gather_rows({.x = x.place(side),
               .rows = side.in(rows, {std::ssize(rows)}),
               .out = side.out("out", out, {std::ssize(rows), dim})},
              side.stream());
  return side.outputs();
}

std::vector<Output> run_concat(int64_t n_rows, const std::vector<int64_t>& n_cols, Side& side) {
  Random random(1);
  const int64_t n_parts = std::ssize(n_cols);
  const int64_t max_cols = *std::max_element(n_cols.begin(), n_cols.end());
  const int64_t n_all = std::accumulate(n_cols.begin(), n_cols.end(), int64_t{0});
  std::vector<float> parts = random.activations(n_parts * n_rows * max_cols);
  std::vector<float> out(static_cast<size_t>(n_rows * n_all), -1.0f);
  concat_columns({.parts = side.in(parts, {n_parts, n_rows, max_cols}),
                  .n_cols = n_cols,
                  .out = side.out("out", out, {n_rows, n_all})},
                 side.stream());
  return side.outputs();
}

std::vector<Output> run_resolve(int64_t n, Side& side) {
  constexpr int64_t kSlots = 7, kPositions = 300;
  Random random(static_cast<uint64_t>(n));
  std::vector<int32_t> token_ids(static_cast<size_t>(kSlots * kPositions));
  std::iota(token_ids.begin(), token_ids.end(), 1000);
  std::vector<int32_t> places(token_ids.size());
  std::iota(places.begin(), places.end(), 0);
  std::shuffle(places.begin(), places.end(), random.engine());
  std::vector<int32_t> ids, slots, positions, tokens(static_cast<size_t>(n), -9);
  for (int64_t i = 0; i < n; ++i) {
    const int32_t place = places[static_cast<size_t>(i)];
    ids.push_back(static_cast<int32_t>(random.integer(-1, 1)));
    slots.push_back(place / static_cast<int32_t>(kPositions));
    positions.push_back(place % static_cast<int32_t>(kPositions));
  }
  resolve_tokens({.ids = side.in(ids, {n}),
                  .seq_slots = side.in(slots, {n}),
                  .positions = side.in(positions, {n}),
                  .token_ids = side.out("token_ids", token_ids, {kSlots, kPositions}),
                  .tokens = side.out("tokens", tokens, {n})},
                 side.stream());
  return side.outputs();
}

// Copies in a chain, as a later copy may read what an earlier one has written.
std::vector<Output> run_copy(int64_t block_bytes, Side& side) {
  constexpr int64_t kBlocks = 9;
  Random random(static_cast<uint64_t>(block_bytes));
  std::vector<std::byte> bytes(static_cast<size_t>(kBlocks * block_bytes));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.integer(0, 255));
  std::vector<int32_t> from{3, 0, 8, 5, 5}, to{0, 8, 1, 2, 5};
  KvPages kv;
  kv.data = side.out_bytes("pages", bytes);
  kv.n_blocks = kBlocks;
  kv.block_bytes = block_bytes;
  copy_blocks({.kv = kv, .from = side.in(from, {5}), .to = side.in(to, {5})}, side.stream());
  return side.outputs();
}

std::vector<Output> run_finite(int64_t n, int64_t dim, Side& side) {
  Random random(static_cast<uint64_t>(dim));
  Rows x(random, n, dim);
  for (float& v : x.values) v = std::clamp(v, -100.0f, 99.0f);
  std::vector<uint8_t> finite(static_cast<size_t>(n), 1);
  finite[static_cast<size_t>(n - 1)] = 0;  // and stays 0
  x.row(0)[dim - 1] = kNan;
  x.row(1)[0] = kInf;
  x.row(2)[dim / 2] = -100.0f;
  finite_rows({.x = x.place(side), .limit = 100.0f, .finite = side.out("finite", finite, {n})},
              side.stream());
  return side.outputs();
}

}  // namespace

std::vector<BitCase> row_cases(Sizes sizes) {
  std::vector<BitCase> list;
  const auto add = [&](const char* op, const std::string& what, auto run, auto... arguments) {
    list.push_back({op, what, [=](Side& side) { return run(arguments..., side); }});
  };
  const bool large = sizes == Sizes::kLarge;
  const auto add_rows = [&](const char* op, int64_t n, int64_t dim, auto run) {
    add(op, "dim " + std::to_string(dim) + ", " + std::to_string(n) + " rows", run, n, dim);
  };
  for (const int64_t dim : {32, 192, 672}) add_rows("quantize", 5, dim, run_quantize);
  for (const int64_t dim : {17, 64, 1056}) add_rows("silu_mul", 6, dim, run_silu_mul);
  for (const int64_t dim : {1, 16, 80, 128, 256}) add_rows("head_norm", 5, dim, run_head_norm);
  for (const int64_t dim : {1, 300, 1500}) add_rows("finite_rows", 5, dim, run_finite);
  for (const int64_t dim : {7, 1300}) {
    add("gather_rows", "dim " + std::to_string(dim), run_gather, int64_t{9}, dim,
        std::vector<int32_t>{8, 0, 3, 3});
  }
  add("concat_columns", "4 parts", run_concat, int64_t{3}, std::vector<int64_t>{10, 1100, 0, 33});
  add("resolve_tokens", "300 tokens", run_resolve, int64_t{300});
  add("copy_blocks", "words", run_copy, int64_t{4160});
  add("copy_blocks", "bytes", run_copy, int64_t{333});
  if (large) {
    add_rows("quantize", 512, 4096, run_quantize);
    add_rows("silu_mul", 512, 14336, run_silu_mul);
    add("concat_columns", "a whole vocabulary", run_concat, int64_t{16},
        std::vector<int64_t>{18992, 18992, 18992, 18992});
  }
  return list;
}

}  // namespace lockstep::gpu_check
