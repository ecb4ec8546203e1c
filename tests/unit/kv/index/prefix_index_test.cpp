// PrefixIndex: entries are found by hash and decided by tokens. Also compared with a naive map of
// whole prefixes.
#include "node/kv/index/prefix_index.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <utility>

#include "tests/support/random.h"

namespace lockstep {
namespace {

using testing::SeededRandom;
using Tokens = std::vector<int32_t>;
constexpr BlockId kNone = PrefixIndex::kNone;

TEST(PrefixIndex, AnEntryIsItsParentAndItsTokens) {
  PrefixIndex index(8, 2);
  const PrefixKey key;
  const Tokens ab{1, 2}, cd{3, 4};
  EXPECT_EQ(index.root_of(key), -1);
  index.insert(key, kNone, 10, ab, BlockId{5});
  index.insert(key, BlockId{5}, 20, cd, BlockId{2});
  index.insert(key, kNone, 30, cd, BlockId{0});  // the same tokens at another place
  const int32_t root = index.root_of(key);
  EXPECT_EQ(index.find(root, kNone, 10, ab), BlockId{5});
  EXPECT_EQ(index.find(root, BlockId{5}, 20, cd), BlockId{2});
  EXPECT_EQ(index.find(root, kNone, 30, cd), BlockId{0});
  EXPECT_EQ(index.find(root, BlockId{0}, 20, cd), kNone);
  EXPECT_EQ(index.parent(BlockId{2}), BlockId{5});
  EXPECT_TRUE(index.has_children(BlockId{5}));
  EXPECT_EQ(index.check_invariants(), 0);
}

TEST(PrefixIndex, DepthAndChildrenAreCountedWhereTheyChange) {
  PrefixIndex index(8, 1);
  const PrefixKey key{"k"};
  const auto insert = [&](int32_t id, BlockId parent) {
    index.insert(key, parent, static_cast<uint64_t>(id), Tokens{id}, BlockId{id});
  };
  insert(0, kNone);
  insert(1, BlockId{0});
  insert(2, BlockId{0});
  insert(3, BlockId{2});
  EXPECT_EQ(index.depth(BlockId{0}), 1);
  EXPECT_EQ(index.depth(BlockId{3}), 3);
  EXPECT_EQ(index.n_children(BlockId{0}), 2);
  EXPECT_EQ(index.key_hash(BlockId{3}), prefix_hash(key));
  index.remove(BlockId{1});
  EXPECT_EQ(index.n_children(BlockId{0}), 1);
  index.remove(BlockId{3});
  EXPECT_EQ(index.n_children(BlockId{2}), 0);
  EXPECT_EQ(index.check_invariants(), 0);
}

TEST(PrefixIndex, EqualHashesAreToldApart) {
  PrefixIndex index(8, 2);
  const PrefixKey a{"a"}, b{"b"};
  const uint64_t hash = 7;
  index.insert(a, kNone, hash, Tokens{1, 2}, BlockId{0});
  index.insert(a, kNone, hash, Tokens{1, 3}, BlockId{1});
  index.insert(a, BlockId{0}, hash, Tokens{1, 2}, BlockId{2});
  index.insert(b, kNone, hash, Tokens{1, 2}, BlockId{3});
  EXPECT_EQ(index.find(index.root_of(a), kNone, hash, Tokens{1, 2}), BlockId{0});
  EXPECT_EQ(index.find(index.root_of(a), kNone, hash, Tokens{1, 3}), BlockId{1});
  EXPECT_EQ(index.find(index.root_of(a), BlockId{0}, hash, Tokens{1, 2}), BlockId{2});
  EXPECT_EQ(index.find(index.root_of(b), kNone, hash, Tokens{1, 2}), BlockId{3});
  EXPECT_EQ(index.find(index.root_of(a), kNone, hash, Tokens{9, 9}), kNone);
  index.remove(BlockId{1});  // from the middle of its bucket
  EXPECT_EQ(index.find(index.root_of(a), kNone, hash, Tokens{1, 2}), BlockId{0});
  EXPECT_EQ(index.find(index.root_of(a), kNone, hash, Tokens{1, 3}), kNone);
  EXPECT_EQ(index.check_invariants(), 0);
}

TEST(PrefixIndex, ThePartialIsTheChildThatAgreesLongest) {
  PrefixIndex index(8, 4);
  const PrefixKey key, other{"other"};
  const auto insert = [&](const PrefixKey& k, BlockId parent, const Tokens& tokens, int32_t id) {
    index.insert(k, parent, static_cast<uint64_t>(id), tokens, BlockId{id});
  };
  EXPECT_EQ(index.find_partial(key, kNone, Tokens{1}).entry, kNone);  // a key without entries
  insert(key, kNone, {1, 2, 3, 4}, 0);
  insert(key, kNone, {1, 2, 9, 9}, 1);
  insert(key, kNone, {1, 5, 6, 7}, 2);
  insert(key, BlockId{0}, {1, 2, 3, 5}, 3);
  insert(other, kNone, {1, 2, 3, 5}, 4);
  const auto partial = [&](BlockId parent, const Tokens& tokens) {
    const PrefixIndex::Partial found = index.find_partial(key, parent, tokens);
    return std::pair(raw(found.entry), found.n_tokens);
  };
  EXPECT_EQ(partial(kNone, {1, 2, 3, 5}), std::pair(0, 3));
  EXPECT_EQ(partial(kNone, {1, 2, 9}), std::pair(1, 3));
  EXPECT_EQ(partial(kNone, {1, 2}), std::pair(1, 2));  // the newest of equals
  EXPECT_EQ(partial(kNone, {2, 2, 3}), std::pair(-1, 0));
  EXPECT_EQ(partial(kNone, {}), std::pair(-1, 0));
  EXPECT_EQ(partial(BlockId{0}, {1, 2, 3, 4}), std::pair(3, 3));
  EXPECT_EQ(partial(BlockId{1}, {1, 2, 3, 4}), std::pair(-1, 0));
  index.remove(BlockId{1});  // from the middle of its parent's children
  EXPECT_EQ(partial(kNone, {1, 2, 9}), std::pair(0, 2));
  EXPECT_EQ(index.check_invariants(), 0);
}

TEST(PrefixIndex, OnlyTheNewestChildrenAreLookedAtForAPartial) {
  constexpr int32_t kSeen = PrefixIndex::kMaxChildrenSeen;
  PrefixIndex index(kSeen + 1, 2);
  for (int32_t i = 0; i <= kSeen; ++i) {
    index.insert({}, kNone, static_cast<uint64_t>(i), Tokens{i, i}, BlockId{i});
  }
  EXPECT_EQ(index.find_partial({}, kNone, Tokens{0}).entry, kNone);
  EXPECT_EQ(index.find_partial({}, kNone, Tokens{1}).entry, BlockId{1});
  index.remove(BlockId{kSeen});
  EXPECT_EQ(index.find_partial({}, kNone, Tokens{0}).entry, BlockId{0});
}

TEST(PrefixIndex, ABucketHasABound) {
  constexpr int32_t kFull = PrefixIndex::kMaxInBucket;
  PrefixIndex index(2 * kFull, 1);
  const uint64_t n_buckets = std::bit_ceil(uint64_t{4 * kFull + 1});
  for (int32_t i = 0; i < kFull; ++i) {  // other hashes, one bucket
    const uint64_t hash = 7 + static_cast<uint64_t>(i) * n_buckets;
    ASSERT_TRUE(index.has_room(hash));
    index.insert({}, kNone, hash, Tokens{i}, BlockId{i});
  }
  EXPECT_FALSE(index.has_room(7));
  EXPECT_FALSE(index.has_room(7 + 99 * n_buckets));
  EXPECT_TRUE(index.has_room(8));
  EXPECT_EQ(index.check_invariants(), 0);
  index.remove(BlockId{3});
  EXPECT_TRUE(index.has_room(7));
}

TEST(PrefixIndex, AKeyIsForgottenWithItsLastEntry) {
  PrefixIndex index(4, 1);
  const PrefixKey key{"salt"};
  index.insert(key, kNone, 1, Tokens{1}, BlockId{0});
  const int32_t before = index.root_of(key);
  index.remove(BlockId{0});
  EXPECT_EQ(index.n_keys(), 0);
  EXPECT_EQ(index.find(before, kNone, 1, Tokens{1}), kNone);
  index.insert(key, kNone, 1, Tokens{1}, BlockId{0});
  EXPECT_NE(index.root_of(key), before);
}

TEST(PrefixIndex, HashesDependOnKeyOrderAndLength) {
  const Tokens ab{1, 2}, ba{2, 1};
  const uint64_t root = prefix_hash(PrefixKey{});
  EXPECT_NE(prefix_hash(root, ab), prefix_hash(root, ba));
  EXPECT_NE(prefix_hash(root, ab), prefix_hash(prefix_hash(PrefixKey{"x"}), ab));
  EXPECT_NE(prefix_hash(prefix_hash(root, ab), ab), prefix_hash(root, ab));
  EXPECT_NE(prefix_hash(PrefixKey{}), prefix_hash(PrefixKey{std::string("\0", 1)}));
  EXPECT_NE(prefix_hash(root, Tokens{0}), prefix_hash(root, Tokens{0, 0}));
}

TEST(PrefixIndexDeathTest, AnEntryWithChildrenIsNotRemoved) {
  PrefixIndex index(4, 1);
  index.insert({}, kNone, 1, Tokens{1}, BlockId{0});
  index.insert({}, BlockId{0}, 2, Tokens{2}, BlockId{1});
  EXPECT_DEATH(index.remove(BlockId{0}), "has_children");
}

// Two token values and a hash of two bits give many collisions.
TEST(PrefixIndex, AgreesWithAMapOfWholePrefixes) {
  SeededRandom random(20261121);
  constexpr int32_t kBlocks = 40;
  PrefixIndex index(kBlocks, 2);
  std::map<std::pair<std::string, Tokens>, BlockId> known;  // key and whole prefix
  std::vector<BlockId> unused;
  for (int32_t i = 0; i < kBlocks; ++i) unused.push_back(BlockId{i});
  for (int step = 0; step < 20000; ++step) {
    const std::string salt = random.chance(0.3) ? "s" : "";
    Tokens prefix;
    BlockId parent = kNone;
    for (int depth = 0; depth < 6; ++depth) {
      const Tokens block{static_cast<int32_t>(random.integer(0, 1)),
                         static_cast<int32_t>(random.integer(0, 1))};
      prefix.insert(prefix.end(), block.begin(), block.end());
      const auto hash = static_cast<uint64_t>(block[0] + depth % 2);
      const auto expected = known.find({salt, prefix});
      const BlockId found = index.find(index.root_of({salt}), parent, hash, block);
      ASSERT_EQ(found, expected == known.end() ? kNone : expected->second) << "step " << step;
      if (found == kNone) {
        if (unused.empty()) break;
        const BlockId id = unused.back();
        unused.pop_back();
        index.insert({salt}, parent, hash, block, id);
        known[{salt, prefix}] = id;
        break;
      }
      parent = found;
    }
    for (auto entry = known.begin(); entry != known.end() && random.chance(0.5);) {
      if (index.has_children(entry->second) || random.chance(0.7)) {
        ++entry;
        continue;
      }
      index.remove(entry->second);
      unused.push_back(entry->second);
      entry = known.erase(entry);
    }
    ASSERT_EQ(index.n_entries(), static_cast<int32_t>(known.size()));
    if (step % 50 == 0) {
      ASSERT_EQ(index.check_invariants(), 0);
    }
  }
}

}  // namespace
}  // namespace lockstep
