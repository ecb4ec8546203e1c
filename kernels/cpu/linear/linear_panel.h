// The interface of linear.cpp to an instruction set: sums over one panel of 16 rows for a run of
// tokens. It has only plain data and templates over types of the including file, so that no code
// compiled for another machine can reach the rest of the program through the linker (cpu_ops.h).
//
// A segment is one lane of one leaf. The sum of a subtree is one tree of neighbours over its
// segments: the 16 lanes of a leaf are four whole levels of it. The packed blocks lie in the order
// of the segments, so a panel is read front to back, once per group of tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/layout/k_quants.h"
#include "kernels/layout/packed_weights.h"

namespace lockstep {

struct PanelJob {
  const std::byte* weights;  // first leaf of the subtree in this panel

  // The subtree's part of K.
  int n_leaves;
  int n_lanes;       // lanes of a leaf
  int64_t n_blocks;  // blocks of a leaf
  int last_len;      // values of the last block of a leaf; 32 for quantised types

  // K-quants: bytes of the headers before the blocks of a leaf, and the index of the subtree's
  // first block in its super-block (packed_layout.h).
  int64_t leaf_headers;
  int64_t block_in_super;

  // Activations from the first block of the subtree on: q, scale, sum and q_sum are set for
  // quantised weights, x for float weights.
  int64_t n_tokens;
  const int8_t* q;       // [n_tokens, k]
  const float* scale;    // [n_tokens, k / 32]
  const float* sum;      // [n_tokens, k / 32]
  const int32_t* q_sum;  // [n_tokens, k / 32]
  const float* x;        // [n_tokens, k]
  int64_t q_stride;      // elements from one token to the next; likewise below
  int64_t scale_stride;
  int64_t sum_stride;
  int64_t q_sum_stride;
  int64_t x_stride;

  int n_rows;         // rows of the panel that are not padding
  const float* bias;  // [16] or null
  float* out;         // [n_tokens, n_rows], tokens out_stride apart
  int64_t out_stride;
};

using PanelKernel = void (*)(const PanelJob& job);

PanelKernel panel_kernel_portable(WeightType type);
PanelKernel quant_panel_kernel_avx2(WeightType type);
PanelKernel float_panel_kernel_avx2(WeightType type);
PanelKernel quant_panel_kernel_avx512(WeightType type);
PanelKernel float_panel_kernel_avx512(WeightType type);

// The sums of one group of tokens over a subtree. Group has a type Sum, value-initialised to zeros,
// and the functions
//   add_block(weights, block, n_values, sum)   adds one block; returns the address of the next one
//   join(left, sum)                            sum = left + sum
// `block` is counted from the first block of the subtree. A group of K-quants has the constant
// kHeaderBytes, add_block(weights, header, block, sum) with the header of the block's super-block,
// and begin_leaf(headers), which is called before the blocks of each leaf.
template <class Group>
[[gnu::always_inline]] inline typename Group::Sum sum_segments(const PanelJob& job,
                                                               const Group& group) {
  // Sums that wait for their right neighbour: one a level (3 of leaves, 4 of lanes), and one more.
  constexpr int kMaxPending = 8;
  typename Group::Sum pending[kMaxPending];
  int n_pending = 0;
  unsigned n_segments = 0;
  const std::byte* weights = job.weights;
  for (int leaf = 0; leaf < job.n_leaves; ++leaf) {
    const std::byte* headers = weights;
    uint64_t in_super = 0;  // the leaf's first block, in the first of its super-blocks
    if constexpr (requires { Group::kHeaderBytes; }) {
      group.begin_leaf(headers);
      weights += job.leaf_headers;
      in_super = static_cast<uint64_t>(job.block_in_super + leaf * job.n_blocks) % kBlocksPerSuper;
    }
    for (int lane = 0; lane < job.n_lanes; ++lane, ++n_segments) {
      typename Group::Sum sum{};
      for (int64_t b = lane; b < job.n_blocks; b += job.n_lanes) {
        if constexpr (requires { Group::kHeaderBytes; }) {
          const uint64_t super = (in_super + static_cast<uint64_t>(b)) / kBlocksPerSuper;
          weights = group.add_block(weights, headers + super * Group::kHeaderBytes,
                                    leaf * job.n_blocks + b, sum);
        } else {
          const int n_values = b == job.n_blocks - 1 ? job.last_len : kBlockLen;
          weights = group.add_block(weights, leaf * job.n_blocks + b, n_values, sum);
        }
      }
      // A segment with an odd number joins its left neighbour, and so on, level by level.
      for (unsigned odd = n_segments; odd & 1; odd >>= 1) group.join(pending[--n_pending], sum);
      pending[n_pending++] = sum;
    }
  }
  // The sums that are left join from right to left: the odd ones have passed up unchanged.
  typename Group::Sum sum = pending[--n_pending];
  while (n_pending > 0) group.join(pending[--n_pending], sum);
  return sum;
}

// Calls fn(first, n) for groups of at most `most` tokens, as even as they can be.
template <class Fn>
[[gnu::always_inline]] inline void for_each_group(int64_t n_tokens, int64_t most, const Fn& fn) {
  for (int64_t n_groups = (n_tokens + most - 1) / most, first = 0; n_groups > 0; --n_groups) {
    const int64_t n = (n_tokens - first + n_groups - 1) / n_groups;
    fn(first, n);
    first += n;
  }
}

}  // namespace lockstep
