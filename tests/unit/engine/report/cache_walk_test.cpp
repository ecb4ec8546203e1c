// What a cache report costs the engine thread, in blocks, and what a walk reads from an index that
// changes meanwhile.
#include "node/engine/report/cache_walk.h"

#include <gtest/gtest.h>

#include "node/engine/report/cache_report.h"
#include "node/kv/index/prefix_index.h"
#include "node/kv/report/cache_history.h"
#include "tests/support/fake_clock.h"

namespace lockstep {
namespace {

using testing::FakeClock;

constexpr BlockId kNone = PrefixIndex::kNone;

// An index with one token per block whose entries the test inserts.
class WalkedIndex {
 public:
  explicit WalkedIndex(int32_t n_blocks)
      : index(n_blocks, 1), history(n_blocks, clock), hashes_(size_t(n_blocks)) {}

  void insert(int32_t id, int32_t parent, const std::string& salt = {}) {
    const PrefixKey key{salt};
    const int32_t tokens[] = {id};
    uint64_t& hash = hashes_[static_cast<size_t>(id)];
    hash =
        prefix_hash(parent < 0 ? prefix_hash(key) : hashes_[static_cast<size_t>(parent)], tokens);
    index.insert(key, parent < 0 ? kNone : BlockId{parent}, hash, tokens, BlockId{id});
  }
  void hit(int32_t id) { history.used(BlockId{id}, hashes_[static_cast<size_t>(id)]); }
  bool step(CacheWalk& walk) const { return walk.step(index, history); }
  CacheReport report(const CacheWalk& walk, int32_t n_first_tokens = 0) const {
    CacheReport out;
    out.block_size = 1;
    add_walk(out, walk, {.n_first_tokens = n_first_tokens});
    return out;
  }

  FakeClock clock;
  PrefixIndex index;
  CacheHistory history;

 private:
  std::vector<uint64_t> hashes_;
};

TEST(CacheWalk, AMillionBlocksArePassedInPiecesOfAFewThousand) {
  constexpr int32_t kBlocks = 1'000'000;
  WalkedIndex cache(kBlocks);
  for (int32_t i = 0; i < kBlocks; ++i) {
    cache.insert(i, i % 1000 == 0 ? -1 : i - 1);  // a thousand chains
    cache.hit(i);
  }
  CacheWalk walk(4);
  int32_t n_steps = 0;
  for (bool is_done = false; !is_done; ++n_steps) {
    const int32_t before = walk.n_passed();
    is_done = cache.step(walk);
    EXPECT_GT(walk.n_passed(), before);
    EXPECT_LE(walk.n_passed() - before, CacheWalk::kBlocksPerStep);
    const CacheWalk::Piece& piece = walk.pieces().back();
    EXPECT_LE(piece.rows.size(), static_cast<size_t>(CacheWalk::kBlocksPerStep));
    EXPECT_LE(piece.tokens.size(), piece.rows.size());
  }
  EXPECT_EQ(walk.n_passed(), kBlocks);
  EXPECT_EQ(n_steps, (kBlocks - 1) / CacheWalk::kBlocksPerStep + 1);
  const CacheReport report = cache.report(walk, 4);
  ASSERT_EQ(report.keys.size(), 1u);
  EXPECT_EQ(report.keys[0].n_blocks, kBlocks);
  ASSERT_EQ(report.prefixes.size(), 20u);
  for (const HotPrefix& prefix : report.prefixes) {
    EXPECT_EQ(prefix.n_blocks, 1000);
    EXPECT_EQ(prefix.n_hits, 1u);
    ASSERT_EQ(prefix.first_tokens.size(), 4u);
    EXPECT_EQ(prefix.first_tokens[0] % 1000, 0);
    EXPECT_EQ(prefix.first_tokens[3], prefix.first_tokens[0] + 3);
  }
}

TEST(CacheWalk, ReadsOnlyTheKeysOfBlocksThatNoRequestFound) {
  WalkedIndex cache(10);
  for (int32_t i = 0; i < 4; ++i) cache.insert(i, i - 1);
  for (int32_t i = 4; i < 9; ++i) cache.insert(i, -1, "tea");
  cache.hit(0);
  cache.hit(1);
  CacheWalk walk(1);
  EXPECT_TRUE(cache.step(walk));
  ASSERT_EQ(walk.pieces().size(), 1u);
  EXPECT_EQ(walk.pieces()[0].key_hashes.size(), 9u);
  EXPECT_EQ(walk.pieces()[0].rows.size(), 2u);
  EXPECT_EQ(walk.pieces()[0].tokens.size(), 1u);  // of the first block alone
  const CacheReport report = cache.report(walk, 1);
  ASSERT_EQ(report.keys.size(), 2u);
  EXPECT_TRUE(report.keys[0].has_salt);
  EXPECT_EQ(report.keys[0].n_blocks, 5);
  EXPECT_FALSE(report.keys[1].has_salt);
  ASSERT_EQ(report.prefixes.size(), 1u);
  EXPECT_EQ(report.prefixes[0].n_blocks, 2);
  EXPECT_EQ(report.prefixes[0].n_children, 1);
}

// Parent and child swap places between two pieces, so that each is read as the other's child.
TEST(CacheWalk, ATrieThatChangesBetweenTwoPiecesMakesNoCircle) {
  constexpr int32_t kLate = CacheWalk::kBlocksPerStep + 5;
  WalkedIndex cache(kLate + 1);
  cache.insert(kLate, -1);
  cache.insert(3, kLate);
  cache.hit(kLate);
  cache.hit(3);
  CacheWalk walk(8);
  EXPECT_FALSE(cache.step(walk));
  cache.index.remove(BlockId{3});
  cache.index.remove(BlockId{kLate});
  cache.insert(3, -1);
  cache.insert(kLate, 3);
  cache.hit(3);
  cache.hit(kLate);
  EXPECT_TRUE(cache.step(walk));
  const CacheReport report = cache.report(walk, 8);
  ASSERT_EQ(report.prefixes.size(), 2u);
  for (const HotPrefix& prefix : report.prefixes) {
    EXPECT_EQ(prefix.n_blocks, 2);
    EXPECT_TRUE(prefix.first_tokens.empty()) << "its beginning was not seen";
  }
}

}  // namespace
}  // namespace lockstep
