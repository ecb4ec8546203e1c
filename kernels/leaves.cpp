#include "kernels/leaves.h"

#include <algorithm>

#include "common/check.h"

namespace lockstep {
namespace {

// One past the last leaf of the node of `width` leaves at `first`. A node that reaches the end of
// the tree may be narrower than its level: the odd one passes up unchanged.
int end_of_node(int first, int width, int n_total) { return std::min(first + width, n_total); }

}  // namespace

Subtree subtree_at(const LeafRange& range, int leaf) {
  const int end = range.first + range.n;
  Subtree best{leaf, 1};
  for (int width = 2; leaf % width == 0; width *= 2) {
    const int node_end = end_of_node(leaf, width, range.n_total);
    if (node_end > end) break;
    best.n = node_end - leaf;
    if (leaf + width >= range.n_total) break;
  }
  return best;
}

std::vector<Subtree> owned_subtrees(const LeafRange& range) {
  std::vector<Subtree> subtrees;
  for (int leaf = range.first; leaf < range.first + range.n; leaf += subtrees.back().n) {
    subtrees.push_back(subtree_at(range, leaf));
  }
  return subtrees;
}

JoinPlan plan_joins(std::span<const Subtree> nodes, int n_leaves) {
  CHECK(n_leaves >= 1 && n_leaves <= kMaxLeaves);
  std::array<int, kMaxLeaves> node_at;  // leaf -> index of the node that starts there
  std::array<int, kMaxLeaves> end{};    // leaf -> where that node, as joined so far, ends
  node_at.fill(-1);
  int n_covered = 0;
  for (int i = 0; i < static_cast<int>(nodes.size()); ++i) {
    if (nodes[i].n == 0) continue;
    const int first = nodes[i].first;
    CHECK(first >= 0 && first < n_leaves && node_at[first] == -1);
    node_at[first] = i;
    end[first] = first + nodes[i].n;
    n_covered += nodes[i].n;
  }
  CHECK_EQ(n_covered, n_leaves);

  JoinPlan plan;
  for (int width = 1; width < n_leaves; width *= 2) {
    for (int left = 0; left + width < n_leaves; left += 2 * width) {
      const int right = left + width;
      if (node_at[left] == -1 || end[left] != right) continue;  // came joined already
      CHECK(node_at[right] != -1 && end[right] == end_of_node(right, width, n_leaves));
      plan.joins[plan.n_joins++] = {node_at[left], node_at[right]};
      end[left] = end[right];
    }
  }
  CHECK(node_at[0] != -1 && end[0] == n_leaves);
  plan.root = node_at[0];
  return plan;
}

}  // namespace lockstep
