#include "kernels/leaves.h"

#include <algorithm>

namespace lockstep {

std::vector<Subtree> owned_subtrees(const LeafRange& range) {
  std::vector<Subtree> subtrees;
  const int end = range.first + range.n;
  for (int leaf = range.first; leaf < end;) {
    // Grow the node at `leaf` level by level while it stays aligned and inside the range. A node
    // that reaches the last leaf may be narrower than its level: the odd one passes up unchanged.
    Subtree best{leaf, 1};
    for (int width = 2; leaf % width == 0; width *= 2) {
      const int node_end = std::min(leaf + width, range.n_total);
      if (node_end > end) break;
      best.n = node_end - leaf;
      if (leaf + width >= range.n_total) break;
    }
    subtrees.push_back(best);
    leaf += best.n;
  }
  return subtrees;
}

}  // namespace lockstep
