#include "common/hash64.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <vector>

namespace lockstep {
namespace {

uint64_t hash_of(const std::vector<uint64_t>& words, uint64_t seed) {
  return hash64(std::as_bytes(std::span(words)), seed);
}

// What fmix64 of smhasher's MurmurHash3.cpp gives.
static_assert(mix64(0) == 0);
static_assert(mix64(1) == 0xb456bcfc34c2cb2c);
static_assert(mix64(0x0123456789abcdef) == 0x87cbfbfe89022cea);
static_assert(mix64(~uint64_t{0}) == 0x64b5720b4b825f21);

TEST(Hash64, EveryInputBitOfTheFinaliserReachesAboutHalfOfTheOutput) {
  for (int bit = 0; bit < 64; ++bit) {
    int n_flipped = 0;
    for (uint64_t x = 1; x <= 1000; ++x) {
      n_flipped += std::popcount(mix64(x) ^ mix64(x ^ uint64_t{1} << bit));
    }
    EXPECT_NEAR(n_flipped / 1000.0, 32, 1.5) << "bit " << bit;
  }
}

TEST(Hash64, AnyBitOfTheBytesAndOfTheSeedCounts) {
  for (size_t n_words : {1u, 3u, 4u, 5u, 8u, 11u}) {
    std::vector<uint64_t> words(n_words);
    std::set<uint64_t> seen = {hash_of(words, 7)};
    for (uint64_t& word : words) {
      for (int bit = 0; bit < 64; ++bit) {
        word ^= uint64_t{1} << bit;
        EXPECT_TRUE(seen.insert(hash_of(words, 7)).second) << n_words << " words, bit " << bit;
        word = 0;
      }
    }
    for (int bit = 0; bit < 64; ++bit) {
      EXPECT_TRUE(seen.insert(hash_of(words, 7 ^ uint64_t{1} << bit)).second) << "seed bit " << bit;
    }
  }
}

TEST(Hash64, LengthAndOrderCount) {
  std::set<uint64_t> seen;
  for (size_t n_words = 0; n_words < 20; ++n_words) {
    EXPECT_TRUE(seen.insert(hash_of(std::vector<uint64_t>(n_words), 0)).second) << n_words;
  }
  EXPECT_NE(hash_of({1, 2, 3, 4, 5}, 0), hash_of({2, 1, 3, 4, 5}, 0));
  EXPECT_NE(hash_of({1, 2, 3, 4, 5}, 0), hash_of({5, 2, 3, 4, 1}, 0));
}

}  // namespace
}  // namespace lockstep
