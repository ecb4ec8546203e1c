#include "kernels/layout/leaves.h"

#include <gtest/gtest.h>

#include "kernels/layout/packed_layout.h"

namespace lockstep::testing {
namespace {

TEST(Leaves, OwnedSubtreesAreTheLargestAlignedNodes) {
  const auto owned = [](int n_total, int first, int n) {
    return owned_subtrees({n_total, first, n});
  };
  using List = std::vector<Subtree>;
  EXPECT_EQ(owned(1, 0, 1), (List{{0, 1}}));
  EXPECT_EQ(owned(8, 0, 8), (List{{0, 8}}));
  EXPECT_EQ(owned(8, 0, 4), (List{{0, 4}}));
  EXPECT_EQ(owned(8, 1, 6), (List{{1, 1}, {2, 2}, {4, 2}, {6, 1}}));
  EXPECT_EQ(owned(8, 3, 3), (List{{3, 1}, {4, 2}}));
  EXPECT_EQ(owned(3, 0, 2), (List{{0, 2}}));
  EXPECT_EQ(owned(3, 1, 2), (List{{1, 1}, {2, 1}}));
  // Odd last ones pass up unchanged: (45) is a whole subtree of a tree of six leaves, 4 of five.
  EXPECT_EQ(owned(6, 4, 2), (List{{4, 2}}));
  EXPECT_EQ(owned(6, 3, 3), (List{{3, 1}, {4, 2}}));
  EXPECT_EQ(owned(7, 4, 3), (List{{4, 3}}));
  EXPECT_EQ(owned(5, 4, 1), (List{{4, 1}}));
}

// Every set of ranges that covers a tree gives a plan that joins the same pairs as a single rank.
TEST(Leaves, JoiningTheNodesOfAnySplitWritesTheSameFormula) {
  const auto formula = [](const std::vector<Subtree>& nodes, int n_leaves) {
    // The sum that a single rank computes for a subtree, as a formula.
    const auto write = [](auto& self, int first, int width, int end) -> std::string {
      if (width == 1) return std::to_string(first);
      const std::string left = self(self, first, width / 2, end);
      const int middle = first + width / 2;
      if (middle >= end) return left;
      return "(" + left + "+" + self(self, middle, width / 2, end) + ")";
    };
    const JoinPlan plan = plan_joins(nodes, n_leaves);
    std::vector<std::string> text;
    for (int i = 0; i < plan.n_nodes; ++i) {
      const Subtree& node = nodes[plan.nodes[i]];
      text.push_back(write(write, node.first, 8, node.first + node.n));
    }
    for (int j = 0; j < plan.n_joins; ++j) {
      const Join join = plan.joins[j];
      text[join.into] = "(" + text[join.into] + "+" + text[join.from] + ")";
    }
    return text[0];
  };
  EXPECT_EQ(formula({{0, 6}}, 6), "(((0+1)+(2+3))+(4+5))");
  EXPECT_EQ(formula({{0, 3}}, 3), "((0+1)+2)");
  for (int n_leaves = 1; n_leaves <= kMaxLeaves; ++n_leaves) {
    const std::string whole = formula({{0, n_leaves}}, n_leaves);
    // Bit i of `cuts`: a new rank starts at leaf i + 1.
    for (int cuts = 0; cuts < 1 << (n_leaves - 1); ++cuts) {
      std::vector<Subtree> nodes;
      for (int first = 0, end = 1; end <= n_leaves; ++end) {
        if (end < n_leaves && (cuts >> (end - 1) & 1) == 0) continue;
        const auto owned = owned_subtrees({n_leaves, first, end - first});
        nodes.insert(nodes.begin(), owned.begin(), owned.end());  // ranks in any order
        nodes.push_back({0, 0});
        first = end;
      }
      EXPECT_EQ(formula(nodes, n_leaves), whole) << "cuts " << cuts;
    }
  }
}

TEST(LeavesDeathTest, PartialsThatAreNoTreeAreRefused) {
  using List = std::vector<Subtree>;
  EXPECT_DEATH(plan_joins(List{{0, 1}}, 2), "leaves.cpp");                  // leaf 1 missing
  EXPECT_DEATH(plan_joins(List{{0, 1}, {1, 2}, {3, 1}}, 4), "leaves.cpp");  // (12) is no subtree
  EXPECT_DEATH(plan_joins(List{{0, 2}, {0, 2}}, 2), "leaves.cpp");          // twice
  EXPECT_DEATH(plan_joins(List{{0, 2}, {1, 1}}, 2), "leaves.cpp");          // inside another
  EXPECT_DEATH(plan_joins(List{{0, 3}}, 2), "leaves.cpp");
  EXPECT_DEATH(plan_joins(List{{0, 9}}, 9), "leaves.cpp");
}

TEST(Leaves, BlocksAreOrderedLaneByLane) {
  EXPECT_EQ(LeafCut(63 * 32).n_lanes, 1);
  const LeafCut cut(66 * 32);
  ASSERT_EQ(cut.n_lanes, 16);
  // Lanes 0 and 1 have five blocks, the others four.
  EXPECT_EQ(cut.place(0), 0);
  EXPECT_EQ(cut.place(64), 4);
  EXPECT_EQ(cut.place(1), 5);
  EXPECT_EQ(cut.place(65), 9);
  EXPECT_EQ(cut.place(2), 10);
  EXPECT_EQ(cut.place(63), 65);
  PackedWeights weights{WeightType::kF32, 16, 2 * (64 * 32 + 7), {2, 0, 2}, nullptr};
  const LeafCut short_end(weights.leaf_k());
  ASSERT_EQ(short_end.last_len, 7);
  int64_t values = 0;
  for_each_block(weights, [&](int64_t block, int len) {
    EXPECT_EQ(block_offset(weights, 0, block), values * kPanelRows * 4) << "block " << block;
    values += len;
  });
  EXPECT_EQ(values, weights.k);
}

}  // namespace
}  // namespace lockstep::testing
