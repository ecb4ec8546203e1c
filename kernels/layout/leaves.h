// Leaves: the pieces in which K, the summed dimension of a row-parallel matrix, is cut. A matrix is
// row-parallel if the ranks split it by its input: attention output and FFN down. Every other
// matrix has one leaf. The cut depends on the model's shape alone, never on the tensor-parallel
// degree, so every degree adds in the same order (docs/numerics.md section 2, with pictures).
// Integers only; stateless; any thread. The sums of the leaves are added in a tree:
//
//   n = 6 leaves:   0   1   2   3   4   5
//   level 1          (01)    (23)    (45)
//   level 2              (0123)      (45)      an odd last one passes up unchanged
//   level 3                 (012345)
//
// A rank owns a contiguous range of leaves and reduces it to the aligned subtrees that lie whole
// inside the range. Of 6 leaves on 2 ranks, 3 leaves each:
//
//   rank 0 owns 0 1 2:   (01) and 2   a partial each
//   rank 1 owns 3 4 5:   3 and (45)   a partial each
//   every rank then adds the gathered partials: (01) + (2 + 3), and that + (45)
//
// A partial is the fp32 sum of one such subtree. A node, in this file, is a node of the tree.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace lockstep {

inline constexpr int kMaxLeaves = 8;
inline constexpr int kBlockLen = 32;  // values of K in one block; quantised, they share a scale
inline constexpr int kLongLeafBlocks = 64;  // a leaf of at least so many blocks has 16 lanes
inline constexpr int kNumLanes = 16;        // a lane is one accumulator of a leaf

constexpr int n_lanes(int64_t n_blocks_in_leaf) {
  return n_blocks_in_leaf >= kLongLeafBlocks ? kNumLanes : 1;
}

// The subtree over the leaves [first, first + n).
struct Subtree {
  int first = 0;
  int n = 0;
  bool operator==(const Subtree&) const = default;
};

// The leaves of a matrix that one rank owns.
struct LeafRange {
  int n_total = 1;  // leaves of the whole matrix
  int first = 0;    // first leaf owned
  int n = 1;        // leaves owned
};

// The largest aligned subtree that starts at `leaf` and lies inside the range.
Subtree subtree_at(const LeafRange& range, int leaf);

// The largest aligned subtrees that lie inside the range, left to right. Together they cover it.
std::vector<Subtree> owned_subtrees(const LeafRange& range);

// One addition: sum of nodes[into] += sum of nodes[from].
struct Join {
  int into = 0;
  int from = 0;
};

// The order in which subtrees that together cover the tree are added. Node i of the plan is the
// i-th subtree from the left. The joins run in order; the sum of the whole tree ends in node 0.
struct JoinPlan {
  std::array<int, kMaxLeaves> nodes{};  // index of each node in the list given to plan_joins()
  int n_nodes = 0;
  std::array<Join, kMaxLeaves - 1> joins{};
  int n_joins = 0;
};

// `nodes` may be in any order; n == 0 marks padding. CHECKs that they are subtrees of the tree of
// n_leaves leaves and that each leaf is in exactly one of them.
JoinPlan plan_joins(std::span<const Subtree> nodes, int n_leaves);

}  // namespace lockstep
