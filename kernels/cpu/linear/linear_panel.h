// What linear.cpp asks of an instruction set: sums over one panel of 16 rows for a run of tokens.
// Plain data and templates over types of the including file only, so that code compiled for another
// machine cannot leak through the linker (cpu_ops.h).
//
// The sums of a subtree are one tree of neighbours over its segments, a segment being one lane of
// one leaf: 16 lanes are four whole levels below the leaves. The packed blocks follow that order,
// so a panel is read front to back, once per group of tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/layout/packed_weights.h"

namespace lockstep {

struct PanelJob {
  const std::byte* weights;  // the first block of the subtree in this panel

  // The subtree's part of K.
  int n_leaves;
  int n_lanes;       // of a leaf
  int64_t n_blocks;  // of a leaf
  int last_len;      // values of a leaf's last block (float types; else 32)

  // Activations from the subtree's first block on; by the type's class, one group is set.
  int64_t n_tokens;
  const int8_t* q;       // [n_tokens, k], and per 32 values:
  const float* scale;    // [n_tokens, k / 32]
  const float* sum;      // [n_tokens, k / 32]
  const int32_t* q_sum;  // [n_tokens, k / 32]
  const float* x;        // [n_tokens, k]
  int64_t q_stride;      // elements from token to token
  int64_t scale_stride;
  int64_t sum_stride;
  int64_t q_sum_stride;
  int64_t x_stride;

  int n_rows;         // of the panel that exist
  const float* bias;  // [16] or null
  float* out;         // [n_tokens, n_rows], out_stride apart
  int64_t out_stride;
};

using PanelKernel = void (*)(const PanelJob& job);

PanelKernel panel_kernel_portable(WeightType type);
PanelKernel quant_panel_kernel_avx2(WeightType type);
PanelKernel float_panel_kernel_avx2(WeightType type);
PanelKernel quant_panel_kernel_avx512(WeightType type);
PanelKernel float_panel_kernel_avx512(WeightType type);

// The sums of one group of tokens. Group has a type Sum, value-initialised to zeros, and
//   add_block(weights, block, n_values, sum)   one block of the panel; returns where the next
//   begins join(left, sum)                            sum = left + sum
// `block` counts from the subtree's first.
template <class Group>
[[gnu::always_inline]] inline typename Group::Sum sum_segments(const PanelJob& job,
                                                               const Group& group) {
  constexpr int kMaxPending =
      8;  // nodes that wait for their right neighbour: 3 + 4 levels, and one
  typename Group::Sum pending[kMaxPending];
  int n_pending = 0;
  unsigned n_segments = 0;
  const std::byte* weights = job.weights;
  for (int leaf = 0; leaf < job.n_leaves; ++leaf) {
    for (int lane = 0; lane < job.n_lanes; ++lane, ++n_segments) {
      typename Group::Sum sum{};
      for (int64_t b = lane; b < job.n_blocks; b += job.n_lanes) {
        const int n_values = b == job.n_blocks - 1 ? job.last_len : kBlockLen;
        weights = group.add_block(weights, leaf * job.n_blocks + b, n_values, sum);
      }
      // A segment with an odd number completes the node of its left neighbour, level by level.
      for (unsigned odd = n_segments; odd & 1; odd >>= 1) group.join(pending[--n_pending], sum);
      pending[n_pending++] = sum;
    }
  }
  // What is left at the right edge joins from the right: the odd ones passed up unchanged.
  typename Group::Sum sum = pending[--n_pending];
  while (n_pending > 0) group.join(pending[--n_pending], sum);
  return sum;
}

// fn(first, n) over groups of at most `most` tokens, as even as they can be.
template <class Fn>
[[gnu::always_inline]] inline void for_each_group(int64_t n_tokens, int64_t most, const Fn& fn) {
  for (int64_t n_groups = (n_tokens + most - 1) / most, first = 0; n_groups > 0; --n_groups) {
    const int64_t n = (n_tokens - first + n_groups - 1) / n_groups;
    fn(first, n);
    first += n;
  }
}

}  // namespace lockstep
