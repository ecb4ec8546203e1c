// PieceCache: what it finds, what goes when it is full, and that it never shows in the ids.
#include "node/text/tokenizer/piece_cache.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/text/random_text.h"
#include "tests/unit/text/small_vocabulary.h"

namespace lockstep {
namespace {

using Ids = std::vector<int32_t>;

void add(PieceCache& cache, uint64_t tokenizer, const std::string& piece, const Ids& ids) {
  cache.add(tokenizer, piece, ids.data(), ids.size());
}

TEST(PieceCache, APieceIsFoundUnderItsTokenizerOnly) {
  PieceCache cache(100'000);
  EXPECT_NE(cache.new_tokenizer_id(), cache.new_tokenizer_id());
  add(cache, 0, "piece", {1, 2, 3});
  Ids ids = {9};
  EXPECT_TRUE(cache.find(0, "piece", ids));
  EXPECT_EQ(ids, (Ids{9, 1, 2, 3})) << "appended";
  EXPECT_FALSE(cache.find(1, "piece", ids));
  EXPECT_FALSE(cache.find(0, "piece ", ids));
  EXPECT_EQ(ids.size(), 4u);
}

TEST(PieceCache, ThePieceThatWasNotUsedForTheLongestTimeGoesFirst) {
  PieceCache cache(20'000);
  const auto piece = [](int i) { return std::to_string(i) + std::string(600, 'x'); };
  for (int i = 0; i < 10; ++i) add(cache, 0, piece(i), Ids(10));
  Ids ids;
  for (int i = 10; i < 100; ++i) {
    EXPECT_TRUE(cache.find(0, piece(0), ids)) << "used again and again, at " << i;
    add(cache, 0, piece(i), Ids(10));
    EXPECT_LE(cache.n_bytes(), 20'000u);
  }
  EXPECT_FALSE(cache.find(0, piece(1), ids));
  EXPECT_TRUE(cache.find(0, piece(99), ids));
}

TEST(PieceCache, AHugePieceIsNotKept) {
  PieceCache cache(20'000);
  add(cache, 0, "small", {1});
  const size_t n_bytes = cache.n_bytes();
  add(cache, 0, std::string(3'000, 'x'), {1});
  EXPECT_EQ(cache.n_bytes(), n_bytes);
}

TEST(PieceCache, AddingAgainCountsOnce) {
  PieceCache cache(20'000);
  add(cache, 0, "again", {1, 2});
  const size_t n_bytes = cache.n_bytes();
  for (int i = 0; i < 100; ++i) add(cache, 0, "again", {1, 2});
  EXPECT_EQ(cache.n_bytes(), n_bytes);
}

// Two tokenizers of different families share a cache that is too small for all texts.
TEST(PieceCache, IdsAreThoseWithoutACacheInEveryThread) {
  const auto cache = std::make_shared<PieceCache>(50'000);
  std::vector<std::thread> threads;
  for (const uint64_t seed : {1, 2, 3, 4}) {
    threads.emplace_back([&cache, seed] {
      const testing::SmallVocabulary vocabulary(seed % 2 == 0 ? "gpt-2" : "llama-bpe");
      const auto plain = vocabulary.make();
      const auto cached = make_tokenizer(vocabulary.data, cache).value();
      testing::SeededRandom random(seed);
      std::vector<std::string> texts;
      for (int i = 0; i < 40; ++i)
        texts.push_back(testing::random_text(random, 100) + "<|end|>" +
                        testing::random_bytes(random, 300));
      for (int i = 0; i < 400; ++i) {
        const std::string& text = texts[static_cast<size_t>(random.integer(0, 39))];
        const bool special = random.chance(0.5);
        EXPECT_EQ(cached->encode(text, special, false), plain->encode(text, special, false));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace lockstep
