#include "kernels/layout/leaves.h"

#include <algorithm>

#include "common/check.h"

namespace lockstep {
namespace {

// One past the last leaf of the subtree of `width` leaves at `first`. The last subtree of a level
// may hold fewer leaves, because an odd last one passes up unchanged.
int end_of_node(int first, int width, int n_total) { return std::min(first + width, n_total); }

// The index of the subtree that starts at `leaf`. CHECKs that there is exactly one.
int find_node(std::span<const Subtree> nodes, int leaf) {
  int found = -1;
  for (int i = 0; i < static_cast<int>(nodes.size()); ++i) {
    if (nodes[i].n <= 0 || nodes[i].first != leaf) continue;
    CHECK_EQ(found, -1);
    found = i;
  }
  CHECK(found != -1);
  return found;
}

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
  JoinPlan plan;
  std::array<int, kMaxLeaves> node_at;  // by leaf: the plan's node that starts there, or -1
  std::array<int, kMaxLeaves> end{};    // by leaf: the end of that node as joined so far
  node_at.fill(-1);
  for (int leaf = 0; leaf < n_leaves; leaf = end[leaf]) {
    const int list_idx = find_node(nodes, leaf);
    node_at[leaf] = plan.n_nodes;
    end[leaf] = leaf + nodes[list_idx].n;
    CHECK(end[leaf] <= n_leaves);
    plan.nodes[plan.n_nodes++] = list_idx;
  }
  for (int width = 1; width < n_leaves; width *= 2) {
    for (int left = 0; left + width < n_leaves; left += 2 * width) {
      const int right = left + width;
      if (node_at[left] == -1 || end[left] != right) continue;  // the given subtree is wider
      CHECK(node_at[right] != -1 && end[right] == end_of_node(right, width, n_leaves));
      plan.joins[plan.n_joins++] = {node_at[left], node_at[right]};
      end[left] = end[right];
    }
  }
  CHECK_EQ(plan.n_joins, plan.n_nodes - 1);
  const auto holds_leaves = [](const Subtree& node) { return node.n != 0; };
  CHECK_EQ(std::count_if(nodes.begin(), nodes.end(), holds_leaves), plan.n_nodes);
  return plan;
}

}  // namespace lockstep
