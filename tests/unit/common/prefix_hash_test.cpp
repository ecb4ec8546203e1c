// The hash of a prefix is part of the wire protocol: nodes publish it and coordinators compute it.
// The expected values are those of another implementation (docs/kv-cache.md gives the formula).
#include "common/prefix_hash.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <string>

namespace lockstep {
namespace {

using Tokens = std::vector<int32_t>;

constexpr uint64_t kRoot = 0xb456bcfc34c2cb2c, kSalted = 0x7a428d1e4bbc7b80;

TEST(PrefixHash, TheValuesOfTheContract) {
  EXPECT_EQ(prefix_hash(""), kRoot);
  EXPECT_EQ(prefix_hash("tea"), kSalted);
  EXPECT_EQ(prefix_hash("\xff"), 0xca6e70679902fcf8);
  Tokens first(16);
  std::iota(first.begin(), first.end(), 0);
  EXPECT_EQ(prefix_hash(kRoot, first), 0xcef6e6bccd3cc601);
  const Tokens extremes{-1, std::numeric_limits<int32_t>::max(),
                        std::numeric_limits<int32_t>::min(), 0};
  EXPECT_EQ(prefix_hash(uint64_t{0xcef6e6bccd3cc601}, extremes), 0xe3dc002035d3c841);
  EXPECT_EQ(prefix_hash(kSalted, Tokens{5, 128, 70000, 0}), 0x2cbc60b9c251aa01);
}

TEST(PrefixHash, EachBlockIsChainedToTheOneBefore) {
  const Tokens tokens{1, 2, 3, 4, 5};
  const std::vector<uint64_t> hashes = block_hashes(kRoot, tokens, 2);
  ASSERT_EQ(hashes.size(), 2u);  // the fifth token fills no block
  EXPECT_EQ(hashes[0], prefix_hash(kRoot, Tokens{1, 2}));
  EXPECT_EQ(hashes[1], prefix_hash(hashes[0], Tokens{3, 4}));
  EXPECT_NE(hashes[1], prefix_hash(kRoot, Tokens{3, 4}));
  EXPECT_TRUE(block_hashes(kRoot, Tokens{1}, 2).empty());
  EXPECT_TRUE(block_hashes(kRoot, {}, 2).empty());
}

TEST(PrefixHash, ASaltIsAnyBytes) {
  EXPECT_NE(prefix_hash(std::string(1, '\0')), kRoot);
  EXPECT_NE(prefix_hash(std::string("a\0", 2)), prefix_hash("a"));
}

}  // namespace
}  // namespace lockstep
