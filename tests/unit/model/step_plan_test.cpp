// StepPlan: every rank reads from one flat buffer what the builder has collected.
#include "node/step/step_plan.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

namespace lockstep {
namespace {

constexpr StepLimits kLimits{.max_tokens = 16,
                             .max_seqs = 4,
                             .max_samples = 4,
                             .max_model_len = 40,
                             .block_size = 4,
                             .max_banned = 3};

std::vector<BlockId> blocks(std::initializer_list<int> ids) {
  std::vector<BlockId> out;
  for (int id : ids) out.push_back(BlockId{id});
  return out;
}

template <class T>
std::vector<T> copy(std::span<const T> values) {
  return {values.begin(), values.end()};
}
using Ints = std::vector<int32_t>;

// Two sequences: a chunk of three tokens at 3 (blocks 0 and 1), and one token at 8 (block 2).
std::span<const std::byte> build_two(StepPlanBuilder& builder) {
  builder.begin(7);
  builder.add_sequence(3, 3, Ints{100, 101, 102}, blocks({5, 9}));
  builder.add_sample({.temperature = 0.0f, .seed = 11, .seq_slot = 3, .n_known = 6});
  builder.add_copy(BlockId{3}, BlockId{8});
  builder.add_sequence(0, 8, Ints{-1}, blocks({0, 4, 8, 30}));
  builder.add_sample({.top_p = 0.5f, .seed = 12, .n_known = 9, .min_tokens_left = 2}, Ints{2, 3});
  return builder.finish();
}

TEST(StepPlan, RanksReadWhatTheBuilderCollected) {
  StepPlanBuilder builder(kLimits);
  const StepPlanView plan(build_two(builder));
  EXPECT_EQ(plan.header().step, 7u);
  EXPECT_EQ(plan.header().n_tokens, 4);
  EXPECT_EQ(plan.header().n_seqs, 2);
  EXPECT_EQ(plan.header().n_samples, 2);
  EXPECT_EQ(plan.header().max_blocks, 3) << "only the blocks up to the last position travel";
  EXPECT_EQ(copy(plan.tokens()), (Ints{100, 101, 102, -1}));
  EXPECT_EQ(copy(plan.positions()), (Ints{3, 4, 5, 8}));
  EXPECT_EQ(copy(plan.seq_of_token()), (Ints{0, 0, 0, 1}));
  EXPECT_EQ(copy(plan.seq_slots()), (Ints{3, 3, 3, 0}));
  EXPECT_EQ(copy(plan.slot_mapping()), (Ints{5 * 4 + 3, 9 * 4, 9 * 4 + 1, 8 * 4}));
  EXPECT_EQ(copy(plan.block_tables()), (Ints{5, 9, -1, 0, 4, 8}));
  EXPECT_EQ(copy(plan.copies_from()), (Ints{3}));
  EXPECT_EQ(copy(plan.copies_to()), (Ints{8}));
  EXPECT_EQ(copy(plan.sample_rows()), (Ints{2, 3}));
  EXPECT_EQ(plan.sampling()[0].seed, 11u);
  EXPECT_EQ(plan.sampling()[0].n_banned, 0);
  EXPECT_EQ(plan.sampling()[1].top_p, 0.5f);
  EXPECT_EQ(plan.sampling()[1].banned_first, 0);
  EXPECT_EQ(plan.sampling()[1].n_banned, 2);
  EXPECT_EQ(copy(plan.banned()), (Ints{2, 3}));
}

TEST(StepPlan, BannedIdsOfRowsLieOneAfterAnother) {
  StepPlanBuilder builder(kLimits);
  builder.begin(1);
  builder.add_sequence(0, 0, Ints{1}, blocks({0}));
  builder.add_sample({}, Ints{7});
  builder.add_sequence(1, 0, Ints{1}, blocks({0}));
  builder.add_sample({}, Ints{8, 9});
  const StepPlanView plan(builder.finish());
  EXPECT_EQ(plan.sampling()[1].banned_first, 1);
  EXPECT_EQ(plan.sampling()[1].n_banned, 2);
  EXPECT_EQ(copy(plan.banned()), (Ints{7, 8, 9}));
}

TEST(StepPlan, TheDigestChangesWithAnyByte) {
  StepPlanBuilder builder(kLimits);
  const auto plan = build_two(builder);
  const uint64_t digest = StepPlanView(plan).header().digest;
  EXPECT_EQ(step_plan_digest(plan), digest);
  alignas(8) std::array<std::byte, 4096> bytes;
  ASSERT_LE(plan.size(), bytes.size());
  for (size_t i = 0; i < plan.size(); ++i) {
    std::memcpy(bytes.data(), plan.data(), plan.size());
    bytes[i] ^= std::byte{1};
    const std::span<const std::byte> changed(bytes.data(), plan.size());
    const bool is_digest =
        i >= offsetof(StepPlanHeader, digest) && i < offsetof(StepPlanHeader, digest) + 8;
    EXPECT_EQ(step_plan_digest(changed) == digest, is_digest) << "byte " << i;
  }
}

TEST(StepPlan, EqualStepsGiveEqualBytes) {
  StepPlanBuilder one(kLimits), other(kLimits);
  build_two(other);  // must not affect the next plan
  const auto a = copy(build_two(one));
  EXPECT_EQ(a, copy(build_two(other)));
}

TEST(StepPlan, AReusedBuilderTakesNoNewMemory) {
  StepPlanBuilder builder(kLimits);
  const std::byte* first = builder.finish().data();
  const auto table = blocks({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  builder.begin(1);
  for (int s = 0; s < 4; ++s) {
    builder.add_sequence(s, 36, Ints{1, 2, 3, 4}, table);
    builder.add_cached(s, Ints(static_cast<size_t>(kLimits.max_cached_tokens() / 4), 7));
    builder.add_copy(BlockId{0}, BlockId{2});
    builder.add_sample({}, s == 0 ? Ints{1, 2, 3} : Ints{});
  }
  const auto plan = builder.finish();
  EXPECT_EQ(plan.data(), first);
  EXPECT_EQ(plan.size(), step_plan_bytes(kLimits)) << "the largest plan is what the limits say";
}

TEST(StepPlan, CachedTokensComeWithTheirSlotsAndPositions) {
  StepPlanBuilder builder(kLimits);
  builder.begin(1);
  builder.add_cached(2, Ints{5, 6, 7});
  builder.add_cached(0, Ints{});
  builder.add_cached(1, Ints{8});
  const StepPlanView plan(builder.finish());
  EXPECT_EQ(Ints(plan.cached_ids().begin(), plan.cached_ids().end()), (Ints{5, 6, 7, 8}));
  EXPECT_EQ(Ints(plan.cached_seq_slots().begin(), plan.cached_seq_slots().end()),
            (Ints{2, 2, 2, 1}));
  EXPECT_EQ(Ints(plan.cached_positions().begin(), plan.cached_positions().end()),
            (Ints{0, 1, 2, 0}));
}

TEST(StepPlan, StoresAndLoadsNameBlocksHostBlocksAndTags) {
  StepLimits limits = kLimits;
  limits.n_host_kv_blocks = 8;
  StepPlanBuilder builder(limits);
  builder.begin(1);
  builder.add_store(BlockId{4}, HostBlockId{7}, 100);
  builder.add_store(BlockId{2}, HostBlockId{6}, 101);
  builder.add_load(HostBlockId{5}, BlockId{9}, 102);
  const StepPlanView plan(builder.finish());
  EXPECT_EQ(copy(plan.stores_from()), (Ints{4, 2}));
  EXPECT_EQ(copy(plan.stores_to()), (Ints{7, 6}));
  EXPECT_EQ(copy(plan.store_tags()), (std::vector<uint64_t>{100, 101}));
  EXPECT_EQ(copy(plan.loads_from()), (Ints{5}));
  EXPECT_EQ(copy(plan.loads_to()), (Ints{9}));
  EXPECT_EQ(copy(plan.load_tags()), (std::vector<uint64_t>{102}));
}

TEST(StepPlan, AnEmptyPlanIsAPlan) {
  StepPlanBuilder builder(kLimits);
  builder.begin(9);
  const StepPlanView plan(builder.finish());
  EXPECT_EQ(plan.header().step, 9u);
  EXPECT_TRUE(plan.tokens().empty());
  EXPECT_TRUE(plan.sampling().empty());
}

using StepPlanDeathTest = testing::Test;

TEST(StepPlanDeathTest, ATableThatMissesAPositionIsABug) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  StepPlanBuilder builder(kLimits);
  builder.begin(1);
  EXPECT_DEATH(builder.add_sequence(0, 3, Ints{1, 2}, blocks({0})), "CHECK failed");
}

TEST(StepPlanDeathTest, ATruncatedPlanIsNotRead) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  StepPlanBuilder builder(kLimits);
  const auto plan = build_two(builder);
  EXPECT_DEATH(StepPlanView{plan.first(plan.size() - 8)}, "CHECK failed");
}

}  // namespace
}  // namespace lockstep
