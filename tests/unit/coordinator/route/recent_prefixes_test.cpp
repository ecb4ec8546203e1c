// RecentPrefixes: the prompts that were sent to a node a moment ago count as cached there.
#include "coordinator/route/recent_prefixes.h"

#include <gtest/gtest.h>

#include <vector>

#include "common/hash64.h"
#include "tests/support/fake_clock.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

// `n` hashes of a conversation; two with the same first `n_shared` differ behind them.
std::vector<uint64_t> chain(size_t n, size_t n_shared = 0, uint64_t other = 0) {
  std::vector<uint64_t> out;
  for (size_t i = 0; i < n; ++i) out.push_back(mix64(i + 1 + (i < n_shared ? 0 : other)));
  return out;
}

class RecentPrefixesTest : public ::testing::Test {
 protected:
  std::vector<uint32_t> match(const std::vector<uint64_t>& prompt) {
    std::vector<uint32_t> n_blocks(3, 0);
    recent_.match(prompt, n_blocks, clock_.now());
    return n_blocks;
  }
  void add(const std::vector<uint64_t>& prompt, uint32_t node) {
    recent_.add(prompt, NodeId{node}, clock_.now());
  }
  using Counts = std::vector<uint32_t>;

  testing::FakeClock clock_;
  RecentPrefixes recent_{milliseconds{1000}};
};

TEST_F(RecentPrefixesTest, ASharedPrefixIsFoundAtItsNode) {
  add(chain(10), 1);
  EXPECT_EQ(match(chain(10)), (Counts{0, 10, 0}));
  EXPECT_EQ(match(chain(12, 7, 1000)), (Counts{0, 7, 0}));
  EXPECT_EQ(match(chain(5, 0, 1000)), (Counts{0, 0, 0}));
  EXPECT_EQ(match({}), (Counts{0, 0, 0}));
}

TEST_F(RecentPrefixesTest, LongPrefixesAreFoundMoreCoarsely) {
  add(chain(200), 0);
  EXPECT_EQ(match(chain(16)), (Counts{16, 0, 0}));
  EXPECT_EQ(match(chain(19)), (Counts{16, 0, 0}));
  EXPECT_EQ(match(chain(20)), (Counts{20, 0, 0}));
  EXPECT_EQ(match(chain(131)), (Counts{128, 0, 0}));
  EXPECT_EQ(match(chain(143)), (Counts{128, 0, 0}));
  EXPECT_EQ(match(chain(144)), (Counts{144, 0, 0}));
  EXPECT_EQ(match(chain(300, 99, 1000)), (Counts{96, 0, 0}));
}

TEST_F(RecentPrefixesTest, EachNodeHasItsOwnLength) {
  add(chain(4), 0);
  add(chain(8), 2);
  EXPECT_EQ(match(chain(8)), (Counts{4, 0, 8}));
}

TEST_F(RecentPrefixesTest, WhatIsKnownAlreadyIsNotLowered) {
  add(chain(4), 0);
  std::vector<uint32_t> n_blocks = {9, 1, 0};
  recent_.match(chain(8), n_blocks, clock_.now());
  EXPECT_EQ(n_blocks, (Counts{9, 1, 0}));
}

TEST_F(RecentPrefixesTest, APromptIsForgottenAfterOneToTwoLifetimes) {
  add(chain(4), 0);
  clock_.advance(milliseconds{999});
  EXPECT_EQ(match(chain(4)), (Counts{4, 0, 0}));
  clock_.advance(milliseconds{2});
  EXPECT_EQ(match(chain(4)), (Counts{4, 0, 0}));
  clock_.advance(milliseconds{1000});
  EXPECT_EQ(match(chain(4)), (Counts{0, 0, 0}));
  EXPECT_EQ(recent_.n_entries(), 0u);
}

TEST_F(RecentPrefixesTest, AfterALongPauseNothingIsLeft) {
  add(chain(4), 0);
  clock_.advance(milliseconds{2000});
  EXPECT_EQ(match(chain(4)), (Counts{0, 0, 0}));
}

TEST_F(RecentPrefixesTest, ALostNodeIsForgotten) {
  add(chain(4), 0);
  add(chain(4), 1);
  recent_.forget(NodeId{0});
  EXPECT_EQ(match(chain(4)), (Counts{0, 4, 0}));
}

TEST_F(RecentPrefixesTest, TheNumberOfEntriesIsBounded) {
  for (uint64_t i = 0; i < 24; ++i) add(chain(200'000, 0, i * 1'000'000), 0);
  EXPECT_LE(recent_.n_entries(), 2 * RecentPrefixes::kMaxEntries);
  EXPECT_GT(recent_.n_entries(), RecentPrefixes::kMaxEntries);
}

TEST_F(RecentPrefixesTest, NodesBeyondThoseOfAMaskAreIgnored) {
  recent_.add(chain(4), NodeId{64}, clock_.now());
  EXPECT_EQ(recent_.n_entries(), 0u);
}

}  // namespace
}  // namespace lockstep
