#include <algorithm>
#include <cmath>

#include "bench/gpu/bit_cases.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"

namespace lockstep::gpu_check {
namespace {

constexpr WeightType kQuantized[] = {WeightType::kQ8_0, WeightType::kQ4_0, WeightType::kQ4_1,
                                     WeightType::kQ5_0, WeightType::kQ5_1, WeightType::kQ4_K,
                                     WeightType::kQ5_K, WeightType::kQ6_K};
constexpr WeightType kFloats[] = {WeightType::kF32, WeightType::kF16, WeightType::kBF16};

struct LinearCase {
  uint64_t seed;
  int64_t n_rows, leaf_k;
  LeafRange leaves;
  int64_t n_tokens;
  bool bias = false;
  int64_t padding = 0;  // columns between the rows of the output

  std::string text() const {
    return std::to_string(n_rows) + " rows, leaves " + std::to_string(leaves.first) + " to " +
           std::to_string(leaves.first + leaves.n) + " of " + std::to_string(leaves.n_total) +
           " x " + std::to_string(leaf_k) + ", " + std::to_string(n_tokens) + " tokens" +
           (bias ? ", bias" : "");
  }
};

void write_f16(std::byte* to, float value) {
  const uint16_t half = f32_to_f16(value);
  std::memcpy(to, &half, sizeof half);
}

// Rows in the layout of a file. Every bit pattern of quants; scales and minimums of either sign,
// sometimes zero or subnormal.
std::vector<std::byte> random_rows(Random& random, WeightType type, int64_t n_bytes) {
  std::vector<std::byte> bytes(static_cast<size_t>(n_bytes));
  if (!is_quantized(type)) {
    const auto size = static_cast<size_t>(float_bytes(type));
    for (size_t at = 0; at < bytes.size(); at += size) {
      const float value = random.normal(0.1f);
      const uint16_t half = type == WeightType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
      std::memcpy(&bytes[at], size == 4 ? static_cast<const void*>(&value) : &half, size);
    }
    return bytes;
  }
  const auto scale = [&] {
    const int64_t kind = random.integer(0, 49);
    return kind == 0 ? 0.0f : kind == 1 ? 3.1e-7f : random.normal(0.02f);
  };
  const auto block_bytes = static_cast<size_t>(source_block_bytes(type));
  for (size_t at = 0; at < bytes.size(); at += block_bytes) {
    for (size_t i = 0; i < block_bytes; ++i) bytes[at + i] = std::byte(random.integer(0, 255));
    std::byte* scales = &bytes[at + static_cast<size_t>(source_scale_offset(type))];
    write_f16(scales, scale());
    if (has_min(type)) write_f16(scales + 2, scale());
  }
  return bytes;
}

// Activations of either form, which live until the outputs are read.
struct Activations {
  std::vector<uint8_t> q;
  std::vector<float> scale, sum, x;
  std::vector<int32_t> q_sum;

  Acts make(Random& random, WeightType type, int64_t n_tokens, int64_t k, Side& side) {
    if (!is_quantized(type)) {
      x = random.activations(n_tokens * k);
      return {side.in(x, {n_tokens, k}), {}};
    }
    const int64_t n_blocks = k / kBlockLen;
    q.resize(static_cast<size_t>(n_tokens * k));
    for (uint8_t& v : q) v = static_cast<uint8_t>(random.integer(-127, 127));
    scale = random.activations(n_tokens * n_blocks);
    sum = random.activations(n_tokens * n_blocks);
    // A block that held a NaN.
    const int64_t broken = random.integer(0, n_tokens * n_blocks - 1);
    std::fill_n(&q[static_cast<size_t>(broken * kBlockLen)], kBlockLen, uint8_t{0});
    scale[static_cast<size_t>(broken)] = sum[static_cast<size_t>(broken)] = std::nanf("");
    q_sum.resize(scale.size());
    for (size_t i = 0; i < q.size(); ++i) q_sum[i / kBlockLen] += static_cast<int8_t>(q[i]);
    return {{},
            {side.in(q, {n_tokens, k}), side.in(scale, {n_tokens, n_blocks}),
             side.in(sum, {n_tokens, n_blocks}), side.in(q_sum, {n_tokens, n_blocks})}};
  }
};

std::vector<Output> run(const LinearCase& c, WeightType type, Side& side) {
  Random random(c.seed);
  PackedWeights weights{type,     c.n_rows, c.leaf_k * c.leaves.n,
                        c.leaves, nullptr,  side.packed_layout()};
  const int64_t row_bytes = source_span(weights).n_bytes;
  const std::vector<std::byte> rows = random_rows(random, type, c.n_rows * row_bytes);
  std::vector<std::byte> packed(static_cast<size_t>(packed_bytes(weights)));
  pack_rows(weights, packed.data(), 0, c.n_rows, rows.data(), row_bytes);
  weights.data = side.place(packed);

  Activations acts;
  std::vector<float> bias = random.activations(c.n_rows);
  const auto n_subtrees = std::ssize(owned_subtrees(c.leaves));
  const int64_t stride = c.n_rows + c.padding;
  std::vector<float> y(static_cast<size_t>(n_subtrees * c.n_tokens * stride), -7.0f);

  LinearArgs args;
  args.x = acts.make(random, type, c.n_tokens, weights.k, side);
  args.weights = weights;
  if (c.bias) args.bias = side.in(bias, {c.n_rows});
  args.out = side.out("y", y, {n_subtrees, c.n_tokens, stride});
  args.out.shape[2] = c.n_rows;
  args.out_token_stride = stride;
  linear(args, side.stream());
  return side.outputs();
}

void add(std::vector<BitCase>& list, const std::vector<LinearCase>& cases, WeightType type) {
  for (const LinearCase& c : cases) {
    list.push_back({std::string("linear ") + to_string(type), c.text(),
                    [c, type](Side& side) { return run(c, type, side); }});
  }
}

}  // namespace

std::vector<BitCase> linear_cases(Sizes sizes) {
  // The same for all quantised types: from one token to more than a tile of them.
  std::vector<LinearCase> every_type = {
      {1, 1, 32, {1, 0, 1}, 1},
      {2, 40, 576, {1, 0, 1}, 1, true, 5},
      {3, 33, 192, {3, 0, 3}, 9},            // two tiles of 8 tokens
      {4, 16, 69 * 32, {2, 0, 2}, 2},        // 16 uneven lanes in each leaf
      {5, 40, 224, {3, 0, 3}, 19, true, 3},  // one tile of 32 tokens, runs of one chain
      {6, 130, 96, {8, 3, 4}, 65},           // three subtrees: 3, 45, 6; 2 x 2 tiles
  };
  // What the type does not change.
  std::vector<LinearCase> q8_0 = {
      {11, 33, 192, {3, 0, 3}, 2},
      {12, 17, 192, {3, 1, 2}, 3},
      {13, 16, 96, {8, 3, 4}, 5},
      {14, 20, 2048, {1, 0, 1}, 1},  // 64 blocks: 16 lanes
      {15, 150, 64, {7, 0, 7}, 1, true},
      {16, 31, 320, {6, 4, 2}, 9},
      {17, 260, 64, {1, 0, 1}, 5},             // enough panels for eight per CUDA block
      {18, 20, 2080, {2, 0, 2}, 35, true, 1},  // 32 chains, split among CUDA blocks
      {19, 270, 2048, {3, 1, 2}, 17},          // two subtrees of 16 chains
      {20, 130, 2048, {2, 0, 2}, 33, true},    // runs of 16 chains that are joined
      {21, 257, 96, {1, 0, 1}, 18},            // two tiles of 256 rows
  };
  std::vector<LinearCase> floats = {
      {31, 1, 1, {1, 0, 1}, 1},
      {32, 33, 100, {3, 1, 2}, 3, false, 2},  // leaves that end in short blocks
      {33, 40, 2049, {1, 0, 1}, 1, true},     // 16 lanes, of which the first has a short block
      {34, 18, 2100, {2, 0, 2}, 9},
      {35, 16, 33, {8, 3, 4}, 2},
      {36, 270, 64, {1, 0, 1}, 8},
  };
  if (sizes == Sizes::kLarge) {
    every_type.push_back({7, 2048, 1536, {1, 0, 1}, 1});   // qkv of a 1.5B model
    every_type.push_back({8, 1536, 1120, {8, 0, 8}, 64});  // its down projection
    every_type.push_back({9, 1536, 256, {6, 0, 6}, 300, true});
    q8_0.push_back({40, 4096, 512, {8, 0, 8}, 1});   // attention output of an 8B model
    q8_0.push_back({41, 6144, 4096, {1, 0, 1}, 1});  // its qkv
    q8_0.push_back({42, 4096, 1792, {8, 2, 6}, 3});  // its down projection, 6 of 8 leaves
    q8_0.push_back({43, 1000, 2048, {8, 0, 8}, 2});  // 128 chains
    q8_0.push_back({44, 49152, 576, {1, 0, 1}, 1});  // SmolLM2's output head
    q8_0.push_back({45, 960, 576, {1, 0, 1}, 33, true, 64});
    q8_0.push_back({46, 1024, 2048, {8, 0, 8}, 70});
    floats.push_back({47, 4096, 512, {8, 0, 8}, 5});
  }
  // What super-blocks add: leaves that cut them anywhere, with one lane and with 16.
  const std::vector<LinearCase> k_quants = {
      {51, 20, 70 * 32, {3, 1, 2}, 3},       // two subtrees
      {52, 33, 3 * 32, {8, 5, 3}, 20},       // three leaves, runs of one chain
      {53, 140, 67 * 32, {2, 0, 2}, 33},     // runs of chains of both leaves
      {54, 18, 13 * 32, {4, 0, 4}, 9, true}  // a run of four leaves
  };
  std::vector<BitCase> list;
  for (WeightType type : kQuantized) add(list, every_type, type);
  for (WeightType type : kQuantized) {
    if (is_k_quant(type)) add(list, k_quants, type);
  }
  add(list, q8_0, WeightType::kQ8_0);
  for (WeightType type : kFloats) add(list, floats, type);
  return list;
}

}  // namespace lockstep::gpu_check
