// Linear, docs/numerics.md section 2: a lane sums blocks, a leaf sums its lanes, and a subtree sums
// its leaves. The output of a rank is one sum for each subtree that it owns.
#include <array>
#include <cmath>
#include <vector>

#include "kernels/layout/packed_layout.h"
#include "kernels/quantized_row.h"
#include "kernels/reference/neighbours.h"
#include "kernels/reference/reference_ops.h"

namespace lockstep::reference {
namespace {

// One row of the matrix in column order, as blocks or as values.
struct Row {
  std::vector<RowBlock> blocks;  // [k / 32], quantised types
  std::vector<float> values;     // [k], float types
};

Row read_row(const PackedWeights& weights, int64_t row) {
  Row result;
  if (is_quantized(weights.type)) {
    for (int64_t b = 0; b < weights.k / kBlockLen; ++b) {
      result.blocks.push_back(read_block(weights, row, b));
    }
  } else {
    for (int64_t k = 0; k < weights.k; ++k) result.values.push_back(read_value(weights, row, k));
  }
  return result;
}

float add_quantized_block(float acc, const RowBlock& w, bool has_min, const QuantizedRow& x,
                          int64_t block) {
  int isum = 0;
  for (int k = 0; k < kBlockLen; ++k) isum += w.q[k] * x.q[block * kBlockLen + k];
  acc = std::fma(w.scale * x.scale[block], static_cast<float>(isum), acc);
  if (has_min) acc = std::fma(w.min, x.sum[block], acc);
  return acc;
}

float add_float_block(float acc, const float* w, const float* x, int n) {
  for (int k = 0; k < n; ++k) acc = std::fma(w[k], x[k], acc);
  return acc;
}

float sum_leaf(const LinearArgs& args, const Row& row, int64_t leaf, int64_t token) {
  const LeafCut cut(args.weights.leaf_k());
  std::array<float, kNumLanes> lanes{};
  for (int64_t b = 0; b < cut.n_blocks; ++b) {
    float& lane = lanes[b % cut.n_lanes];
    const int64_t block = leaf * cut.n_blocks + b;
    if (is_quantized(args.weights.type)) {
      lane = add_quantized_block(lane, row.blocks[block], has_min(args.weights.type),
                                 row_of(args.x.quantized, token), block);
    } else {
      const int64_t k = cut.first_value(block);
      lane = add_float_block(lane, &row.values[k], args.x.f32.row<float>(token) + k, cut.len(b));
    }
  }
  return sum_neighbours(std::span(lanes).first(cut.n_lanes));
}

}  // namespace

void linear(const LinearArgs& args) {
  const PackedWeights& weights = args.weights;
  const int64_t n_tokens = args.out.shape[1];
  const int64_t token_stride = args.out_token_stride ? args.out_token_stride : weights.n_rows;
  const std::vector<Subtree> subtrees = owned_subtrees(weights.leaves);
  for (int64_t r = 0; r < weights.n_rows; ++r) {
    const Row row = read_row(weights, r);
    for (int64_t t = 0; t < n_tokens; ++t) {
      for (size_t s = 0; s < subtrees.size(); ++s) {
        std::array<float, kMaxLeaves> leaves{};
        for (int i = 0; i < subtrees[s].n; ++i) {
          leaves[i] = sum_leaf(args, row, subtrees[s].first + i - weights.leaves.first, t);
        }
        float sum = sum_neighbours(std::span(leaves).first(subtrees[s].n));
        if (args.bias) sum = sum + args.bias.row<float>(0)[r];
        args.out.row<float>(s)[t * token_stride + r] = sum;
      }
    }
  }
}

}  // namespace lockstep::reference
