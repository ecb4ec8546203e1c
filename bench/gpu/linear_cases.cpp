#include "bench/gpu/bit_cases.h"
#include "kernels/layout/fp16.h"
#include "kernels/layout/quant.h"

namespace lockstep::gpu_check {
namespace {

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

// Every bit pattern of quants; scales of either sign, sometimes zero or subnormal.
std::vector<std::byte> random_rows(Random& random, int64_t n_blocks) {
  std::vector<BlockQ8_0> blocks(static_cast<size_t>(n_blocks));
  for (BlockQ8_0& block : blocks) {
    const int64_t kind = random.integer(0, 49);
    block.scale = f32_to_f16(kind == 0 ? 0.0f : kind == 1 ? 3.1e-7f : random.normal(0.02f));
    for (int8_t& q : block.quants) q = static_cast<int8_t>(random.integer(-128, 127));
  }
  std::vector<std::byte> bytes(blocks.size() * sizeof(BlockQ8_0));
  std::memcpy(bytes.data(), blocks.data(), bytes.size());
  return bytes;
}

std::vector<Output> run(const LinearCase& c, Side& side) {
  Random random(c.seed);
  PackedWeights weights{WeightType::kQ8_0, c.n_rows, c.leaf_k * c.leaves.n, c.leaves, nullptr};
  const std::vector<std::byte> rows = random_rows(random, c.n_rows * weights.k / kBlockLen);
  std::vector<std::byte> packed(
      static_cast<size_t>(packed_bytes(weights.type, c.n_rows, weights.k)));
  pack_rows(weights, packed.data(), 0, c.n_rows, rows.data(),
            source_row_bytes(weights.type, weights.k));
  weights.data = side.place(packed);

  std::vector<uint8_t> q(static_cast<size_t>(c.n_tokens * weights.k));
  for (uint8_t& v : q) v = static_cast<uint8_t>(random.integer(-127, 127));
  const int64_t n_blocks = weights.k / kBlockLen;
  std::vector<float> scale = random.activations(c.n_tokens * n_blocks);
  std::vector<float> sum(scale.size());
  std::vector<int32_t> q_sum(scale.size());
  std::vector<float> bias = random.activations(c.n_rows);
  const auto n_subtrees = std::ssize(owned_subtrees(c.leaves));
  const int64_t stride = c.n_rows + c.padding;
  std::vector<float> y(static_cast<size_t>(n_subtrees * c.n_tokens * stride), -7.0f);

  LinearArgs args;
  args.x.quantized = {side.in(q, {c.n_tokens, weights.k}), side.in(scale, {c.n_tokens, n_blocks}),
                      side.in(sum, {c.n_tokens, n_blocks}), side.in(q_sum, {c.n_tokens, n_blocks})};
  args.weights = weights;
  if (c.bias) args.bias = side.in(bias, {c.n_rows});
  args.out = side.out("y", y, {n_subtrees, c.n_tokens, stride});
  args.out.shape[2] = c.n_rows;
  args.out_token_stride = stride;
  linear(args, side.stream());
  return side.outputs();
}

}  // namespace

std::vector<BitCase> linear_cases(Sizes sizes) {
  std::vector<LinearCase> cases = {
      {1, 1, 32, {1, 0, 1}, 1},         {2, 40, 576, {1, 0, 1}, 1, true, 5},
      {3, 33, 192, {3, 0, 3}, 2},       {4, 17, 192, {3, 1, 2}, 3},
      {5, 16, 96, {8, 3, 4}, 5},       // three subtrees: 3, 45, 6
      {6, 20, 2048, {1, 0, 1}, 1},     // 64 blocks: 16 lanes
      {7, 16, 69 * 32, {2, 0, 2}, 4},  // uneven lanes
      {8, 150, 64, {7, 0, 7}, 1, true}, {9, 31, 320, {6, 4, 2}, 9},
      {10, 260, 64, {1, 0, 1}, 5},  // enough panels for eight per CUDA block
  };
  if (sizes == Sizes::kLarge) {
    cases.push_back({20, 4096, 512, {8, 0, 8}, 1});   // attention output of an 8B model
    cases.push_back({21, 6144, 4096, {1, 0, 1}, 1});  // its qkv
    cases.push_back({22, 4096, 1792, {8, 2, 6}, 3});  // its down projection, 6 of 8 leaves
    cases.push_back({23, 1000, 2048, {8, 0, 8}, 2});  // 128 chains
    cases.push_back({24, 49152, 576, {1, 0, 1}, 1});  // SmolLM2's output head
    cases.push_back({25, 960, 576, {1, 0, 1}, 33, true, 64});
  }
  std::vector<BitCase> list;
  for (const LinearCase& c : cases) {
    list.push_back({"linear Q8_0", c.text(), [c](Side& side) { return run(c, side); }});
  }
  return list;
}

}  // namespace lockstep::gpu_check
