// Leaves: how K, the summed dimension of a row-parallel matrix, is cut. The cut is a fact of the
// model's shape, never of the tensor-parallel degree, so every degree adds in the same order
// (docs/numerics.md, "Leaves and the tree").
//
//   n = 6 leaves:   0   1   2   3   4   5
//   level 1          (01)    (23)    (45)
//   level 2              (0123)      (45)
//   level 3                 (012345)
//
// A rank owns a contiguous range of leaves and reduces it to the aligned subtrees it holds whole.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace lockstep {

inline constexpr int kMaxLeaves = 8;
inline constexpr int kBlockLen = 32;        // values that share a scale; the unit of K
inline constexpr int kLongLeafBlocks = 64;  // a leaf of this many blocks is summed in 16 lanes
inline constexpr int kNumLanes = 16;

constexpr int n_lanes(int64_t n_blocks_in_leaf) {
  return n_blocks_in_leaf >= kLongLeafBlocks ? kNumLanes : 1;
}

// A node of the tree: the leaves [first, first + n) whose sums it holds.
struct Subtree {
  int first = 0;
  int n = 0;
  bool operator==(const Subtree&) const = default;
};

// The part of a leaf cut that one rank owns.
struct LeafRange {
  int n_total = 1;  // leaves of the whole matrix
  int first = 0;    // first leaf owned
  int n = 1;        // leaves owned
};

// The largest aligned subtree that starts at `leaf` and lies inside the range.
Subtree subtree_at(const LeafRange& range, int leaf);

// The maximal aligned subtrees of an n_total-leaf tree that lie inside the range, left to right.
std::vector<Subtree> owned_subtrees(const LeafRange& range);

// nodes[into] += nodes[from]
struct Join {
  int into = 0;
  int from = 0;
};

// How nodes that together cover a tree are added up: they are numbered by their first leaf, the
// joins run in order, and the sum of the tree ends in node 0.
struct JoinPlan {
  std::array<int, kMaxLeaves> nodes{};  // index of each in the list the plan was made from
  int n_nodes = 0;
  std::array<Join, kMaxLeaves - 1> joins{};
  int n_joins = 0;
};

// `nodes` in any order; n == 0 marks padding. CHECKs that they tile [0, n_leaves) with nodes of the
// tree, each leaf once.
JoinPlan plan_joins(std::span<const Subtree> nodes, int n_leaves);

}  // namespace lockstep
