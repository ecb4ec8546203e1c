// The cut of a model over ranks: the number of leaves depends on the shape alone, and every piece
// has one owner.
#include "parallel/shard_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace lockstep {
namespace {

ModelShape shape_of(int n_heads, int n_kv_heads, int head_dim, int64_t ffn_dim = 1536,
                    int64_t vocab_size = 49152) {
  return {
      static_cast<int64_t>(n_heads) * head_dim, n_heads, n_kv_heads, head_dim, ffn_dim, vocab_size};
}
const ModelShape kSmolLm2 = shape_of(9, 3, 64);

ShardPlan plan_of(const ModelShape& shape, int n_ranks) {
  auto plan = make_shard_plan(shape, n_ranks);
  EXPECT_TRUE(plan.has_value()) << plan.error().message;
  return std::move(plan).value();
}

TEST(ShardPlan, AttentionLeavesFollowTheTableOfTheDesign) {
  EXPECT_EQ(n_attention_leaves(shape_of(9, 3, 64)), 3);
  EXPECT_EQ(n_attention_leaves(shape_of(32, 8, 128)), 8);
  EXPECT_EQ(n_attention_leaves(shape_of(12, 2, 128)), 6);
  EXPECT_EQ(n_attention_leaves(shape_of(14, 2, 64)), 2);
  EXPECT_EQ(n_attention_leaves(shape_of(28, 4, 128)), 4);
  EXPECT_EQ(n_attention_leaves(shape_of(8, 2, 80)), 4);
  EXPECT_EQ(n_attention_leaves(shape_of(4, 2, 16)), 2);
  EXPECT_EQ(n_attention_leaves(shape_of(2, 1, 8)), 1) << "no run is 32 values wide";
}

TEST(ShardPlan, FfnLeavesDivideTheBlocks) {
  EXPECT_EQ(n_ffn_leaves(shape_of(9, 3, 64, 1536)), 8);   // 48 blocks
  EXPECT_EQ(n_ffn_leaves(shape_of(9, 3, 64, 4864)), 8);   // 152 blocks
  EXPECT_EQ(n_ffn_leaves(shape_of(9, 3, 64, 8960)), 8);   // 280 blocks
  EXPECT_EQ(n_ffn_leaves(shape_of(9, 3, 64, 18944)), 8);  // 592 blocks
  EXPECT_EQ(n_ffn_leaves(shape_of(9, 3, 64, 96)), 3);
  EXPECT_EQ(n_ffn_leaves(shape_of(9, 3, 64, 11 * 32)), 1);
  EXPECT_EQ(n_ffn_leaves(shape_of(9, 3, 64, 100)), 1) << "not whole blocks";
}

TEST(ShardPlan, SmolLm2OverTwoRanksIsUneven) {
  const ShardPlan plan = plan_of(kSmolLm2, 2);
  EXPECT_EQ(plan.ranks[0].n_heads, 6);
  EXPECT_EQ(plan.ranks[1].n_heads, 3);
  EXPECT_EQ(plan.ranks[0].n_kv_heads, 2);
  EXPECT_EQ(plan.ranks[1].first_kv_head, 2);
  EXPECT_EQ(plan.ranks[1].n_kv_heads, 1);
  EXPECT_EQ(plan.ranks[0].n_ffn, 768);
  EXPECT_EQ(plan.max_attention_subtrees, 1);
  EXPECT_EQ(plan.attention_layout(), (std::vector<Subtree>{{0, 2}, {2, 1}}));
  EXPECT_EQ(plan.ffn_layout(), (std::vector<Subtree>{{0, 4}, {4, 4}}));
}

TEST(ShardPlan, LayoutsArePaddedToTheLargestRank) {
  const ShardPlan plan = plan_of(kSmolLm2, 3);  // FFN leaves 3 + 3 + 2
  EXPECT_EQ(plan.max_ffn_subtrees, 2);
  EXPECT_EQ(plan.ffn_layout(),
            (std::vector<Subtree>{{0, 2}, {2, 1}, {3, 1}, {4, 2}, {6, 2}, {0, 0}}));
}

// A KV head that two ranks need is in both shards.
TEST(ShardPlan, SharedKvHeadsAreReplicated) {
  const ShardPlan plan = plan_of(shape_of(12, 2, 128), 4);  // leaves of 2 heads: 2 + 2 + 1 + 1
  EXPECT_EQ(plan.ranks[0].first_kv_head, 0);
  EXPECT_EQ(plan.ranks[0].n_kv_heads, 1);
  EXPECT_EQ(plan.ranks[1].first_kv_head, 0);  // heads 4..7 are of both KV groups
  EXPECT_EQ(plan.ranks[1].n_kv_heads, 2);
  EXPECT_EQ(plan.ranks[2].first_kv_head, 1);
  EXPECT_EQ(plan.ranks[3].first_kv_head, 1);
}

// 8 / 2 heads over 3 ranks: 3 + 3 + 2 would give rank 1 one head of group 0 and two of group 1.
TEST(ShardPlan, ACutThatWouldShareKvHeadsUnevenlyIsMoved) {
  const ShardPlan plan = plan_of(shape_of(8, 2, 64), 3);
  EXPECT_EQ(plan.ranks[0].n_heads, 3);
  EXPECT_EQ(plan.ranks[1].n_heads, 2);
  EXPECT_EQ(plan.ranks[2].n_heads, 3);
}

TEST(ShardPlan, MoreRanksThanLeavesIsRefusedNamingBoth) {
  const auto plan = make_shard_plan(kSmolLm2, 4);
  ASSERT_FALSE(plan.has_value());
  EXPECT_EQ(plan.error().code, ErrorCode::kModelLoadFailed);
  EXPECT_NE(plan.error().message.find("4 ranks"), std::string::npos) << plan.error().message;
  EXPECT_NE(plan.error().message.find("3 attention"), std::string::npos) << plan.error().message;
}

TEST(ShardPlan, ImpossibleShapesAreRefused) {
  EXPECT_FALSE(make_shard_plan(kSmolLm2, 0).has_value());
  EXPECT_FALSE(make_shard_plan(kSmolLm2, -1).has_value());
  EXPECT_FALSE(make_shard_plan(shape_of(9, 2, 64), 1).has_value()) << "9 heads over 2 KV heads";
  EXPECT_FALSE(make_shard_plan(shape_of(8, 8, 64, 0), 1).has_value());
  EXPECT_FALSE(make_shard_plan(shape_of(8, 8, 64, 1536, 100), 8).has_value()) << "7 tiles of rows";
  EXPECT_TRUE(make_shard_plan(shape_of(8, 8, 64, 1536, 100), 7).has_value());
}

void expect_each_once(const ModelShape& shape, int n_ranks) {
  SCOPED_TRACE(testing::Message() << shape.n_heads << "/" << shape.n_kv_heads << "x"
                                  << shape.head_dim << " over " << n_ranks);
  const ShardPlan plan = plan_of(shape, n_ranks);
  const int group = shape.n_heads / shape.n_kv_heads;
  int head = 0, leaf = 0, ffn_leaf = 0;
  int64_t ffn = 0, vocab = 0;
  for (const RankShard& rank : plan.ranks) {
    EXPECT_EQ(rank.first_head, head);
    EXPECT_EQ(rank.attention.first, leaf);
    EXPECT_EQ(rank.ffn.first, ffn_leaf);
    EXPECT_EQ(rank.first_ffn, ffn);
    EXPECT_EQ(rank.first_vocab, vocab);
    EXPECT_GT(rank.n_heads, 0);
    EXPECT_GT(rank.n_ffn, 0);
    EXPECT_GT(rank.n_vocab, 0);
    // Each query head has its KV head at the index that the attention op uses.
    ASSERT_EQ(rank.n_heads % rank.n_kv_heads, 0);
    for (int h = 0; h < rank.n_heads; ++h) {
      EXPECT_EQ((rank.first_head + h) / group,
                rank.first_kv_head + h / (rank.n_heads / rank.n_kv_heads));
    }
    head += rank.n_heads;
    leaf += rank.attention.n;
    ffn_leaf += rank.ffn.n;
    ffn += rank.n_ffn;
    vocab += rank.n_vocab;
  }
  EXPECT_EQ(head, shape.n_heads);
  EXPECT_EQ(leaf, n_attention_leaves(shape));
  EXPECT_EQ(ffn_leaf, n_ffn_leaves(shape));
  EXPECT_EQ(ffn, shape.ffn_dim);
  EXPECT_EQ(vocab, shape.vocab_size);
}

TEST(ShardPlan, EveryHeadLeafColumnAndRowHasOneOwner) {
  for (const ModelShape& shape :
       {kSmolLm2, shape_of(32, 8, 128, 14336, 128256), shape_of(12, 2, 128, 8960, 151936),
        shape_of(14, 2, 64, 4864, 151936), shape_of(28, 4, 128, 18944, 152064),
        shape_of(8, 2, 80, 1024, 1000), shape_of(4, 2, 16, 96, 130), shape_of(8, 8, 32, 512, 300),
        shape_of(8, 4, 32, 512, 300), shape_of(16, 2, 64, 512, 300), shape_of(8, 1, 64, 512, 300),
        shape_of(2, 1, 8, 100, 17)}) {
    const int n_leaves = std::min(n_attention_leaves(shape), n_ffn_leaves(shape));
    for (int n_ranks = 1; n_ranks <= n_leaves; ++n_ranks) expect_each_once(shape, n_ranks);
  }
}

}  // namespace
}  // namespace lockstep
