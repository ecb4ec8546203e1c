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

#include <cstdint>
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

// The maximal aligned subtrees of an n_total-leaf tree that lie inside the range, left to right.
std::vector<Subtree> owned_subtrees(const LeafRange& range);

}  // namespace lockstep
