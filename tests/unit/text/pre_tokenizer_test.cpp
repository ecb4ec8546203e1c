#include "node/text/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "common/text/utf8.h"
#include "tests/unit/text/golden_file.h"
#include "tests/unit/text/random_text.h"

namespace lockstep {
namespace {

using Pieces = std::vector<std::string_view>;

Pieces split(const PreTokenizer& pre, std::string_view text) {
  Pieces pieces;
  pre.split(text, pieces);
  return pieces;
}

Pieces split(std::string_view name, std::string_view text) {
  return split(*PreTokenizer::make(name), text);
}

// The end positions of the pieces, in characters.
std::vector<size_t> ends_of(const Pieces& pieces) {
  std::vector<size_t> ends;
  size_t n = 0;
  for (std::string_view piece : pieces) {
    for (; !piece.empty(); ++n) piece.remove_prefix(utf8::next(piece).n_bytes);
    ends.push_back(n);
  }
  return ends;
}

TEST(PreTokenizer, CutsWhereHuggingFaceTokenizersCut) {
  const auto golden = testing::golden_file("splits.json");
  for (const char* name : {"gpt-2", "smollm", "qwen2", "llama-bpe", "gpt-4o"}) {
    const PreTokenizer pre = PreTokenizer::make(name).value();
    for (const auto& entry : golden.at("cases")) {
      const std::string text = entry.at("text");
      EXPECT_EQ(ends_of(split(pre, text)), entry.at(name).get<std::vector<size_t>>())
          << name << ": " << entry.at("text");
    }
  }
}

TEST(PreTokenizer, FamiliesDifferInDigits) {
  EXPECT_EQ(split("gpt-2", "a 1234"), (Pieces{"a", " 1234"}));
  EXPECT_EQ(split("smollm", "a 1234"), (Pieces{"a", " ", "1", "2", "3", "4"}));
  EXPECT_EQ(split("qwen2", "a 1234"), (Pieces{"a", " ", "1", "2", "3", "4"}));
  EXPECT_EQ(split("llama-bpe", "a 1234"), (Pieces{"a", " ", "123", "4"}));
}

TEST(PreTokenizer, Gpt4oCutsWhereALowerCaseLetterIsFollowedByACapital) {
  EXPECT_EQ(split("gpt-4o", "camelCaseHTTPServer's"), (Pieces{"camel", "Case", "HTTPServer's"}));
  EXPECT_EQ(split("gpt-4o", "a 1234 x/\n"), (Pieces{"a", " ", "123", "4", " x", "/\n"}));
  EXPECT_EQ(split("gpt-4o", "cafe\u0301s"), (Pieces{"cafe\u0301s"})) << "marks are in words";
}

TEST(PreTokenizer, TheDefaultOfLlamaCppCutsAtPunctuationFirst) {
  EXPECT_EQ(split("default", "It's 12345, ok"),
            (Pieces{"It", "'", "s", " ", "123", "45", ",", " ok"}));
}

TEST(PreTokenizer, TheMongolianVowelSeparatorIsNoSpace) {
  EXPECT_EQ(split("gpt-2", "a\u180e\u180e b"), (Pieces{"a", "\u180e\u180e", " b"}));
}

TEST(PreTokenizer, OtherNamesOfAFamilyCutAlike) {
  const std::string text = "It's 1234  HTTPServer's\n\n  x";
  EXPECT_EQ(split("llama3", text), split("llama-bpe", text));
  EXPECT_EQ(split("llama-v3", text), split("llama-bpe", text));
  EXPECT_EQ(split("smaug-bpe", text), split("llama-bpe", text));
  EXPECT_EQ(split("deepseek-r1-qwen", text), split("qwen2", text));
}

TEST(PreTokenizer, AnUnknownNameIsRefusedByName) {
  for (const char* name : {"", "tekken", "qwen3-next", "GPT-2"}) {
    const auto pre = PreTokenizer::make(name);
    ASSERT_FALSE(pre) << name;
    EXPECT_EQ(pre.error().code, ErrorCode::kModelLoadFailed);
    EXPECT_NE(pre.error().message.find("'" + std::string(name) + "'"), std::string::npos);
  }
}

TEST(PreTokenizer, BytesThatAreNotUtf8StandAlone) {
  EXPECT_EQ(split("gpt-2",
                  "ab\xFF\xFE"
                  "cd"),
            (Pieces{"ab", "\xFF", "\xFE", "cd"}));
  EXPECT_EQ(split("qwen2", "x\xE2\x82"), (Pieces{"x", "\xE2", "\x82"}));
}

TEST(PreTokenizer, PiecesJoinToTheTextWhateverItIs) {
  testing::SeededRandom random(11);
  for (const char* name : {"gpt-2", "smollm", "qwen2", "llama-bpe", "gpt-4o", "default"}) {
    const PreTokenizer pre = PreTokenizer::make(name).value();
    for (int i = 0; i < 300; ++i) {
      const std::string text =
          random.chance(0.5) ? testing::random_bytes(random, 60) : testing::random_text(random, 30);
      std::string joined;
      for (const std::string_view piece : split(pre, text)) {
        EXPECT_FALSE(piece.empty());
        joined += piece;
      }
      ASSERT_EQ(joined, text);
    }
  }
}

TEST(PreTokenizer, VeryLongRunsAreCutAsShortOnesAre) {
  const size_t n = 300'000;
  const std::string spaces(n, ' '), letters(n, 'x'), newlines(n, '\n'), marks(n, '!');
  for (const char* name : {"gpt-2", "smollm", "qwen2", "llama-bpe", "gpt-4o"}) {
    const PreTokenizer pre = PreTokenizer::make(name).value();
    EXPECT_EQ(split(pre, letters).size(), 1u) << name;
    EXPECT_EQ(split(pre, marks).size(), 1u) << name;
    EXPECT_EQ(split(pre, newlines).size(), 1u) << name;
    EXPECT_EQ(split(pre, spaces + "x").size(), 2u) << name;
  }
}

}  // namespace
}  // namespace lockstep
