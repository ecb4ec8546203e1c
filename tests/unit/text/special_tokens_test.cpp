#include "node/text/tokenizer/special_tokens.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/random.h"

namespace lockstep {
namespace {

using Fragments = std::vector<std::pair<std::string, int32_t>>;

Fragments split(const SpecialTokens& tokens, std::string_view text, bool parse_special = true) {
  std::vector<SpecialTokens::Fragment> fragments;
  tokens.split(text, parse_special, fragments);
  Fragments out;
  for (const auto& fragment : fragments) out.emplace_back(fragment.text, fragment.id);
  return out;
}

// The contract of the class in slow code: token by token, longest first, over the remaining text.
Fragments split_slowly(const std::vector<std::string>& tokens, const std::string& text) {
  std::vector<size_t> order(tokens.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return tokens[a].size() > tokens[b].size(); });
  Fragments fragments;
  if (!text.empty()) fragments.emplace_back(text, -1);
  for (const size_t id : order) {
    Fragments next;
    for (const auto& [part, owner] : fragments) {
      size_t begin = 0;
      for (size_t at = 0; owner < 0 && (at = part.find(tokens[id], begin)) != part.npos;) {
        if (at > begin) next.emplace_back(part.substr(begin, at - begin), -1);
        next.emplace_back(tokens[id], static_cast<int32_t>(id));
        begin = at + tokens[id].size();
      }
      if (begin < part.size()) next.emplace_back(part.substr(begin), owner);
    }
    fragments = std::move(next);
  }
  return fragments;
}

TEST(SpecialTokens, AreCutOutOfTheTextAroundThem) {
  SpecialTokens tokens;
  tokens.add("<|a|>", 7, false);
  EXPECT_EQ(split(tokens, "x<|a|>y<|a|>"),
            (Fragments{{"x", -1}, {"<|a|>", 7}, {"y", -1}, {"<|a|>", 7}}));
  EXPECT_EQ(split(tokens, ""), Fragments{});
  EXPECT_EQ(split(tokens, "<|a|"), (Fragments{{"<|a|", -1}}));
}

TEST(SpecialTokens, TheLongestOfThoseThatBeginTogetherWins) {
  SpecialTokens tokens;
  tokens.add("<a>", 1, false);
  tokens.add("<a>b", 2, false);
  EXPECT_EQ(split(tokens, "<a>b<a>c"), (Fragments{{"<a>b", 2}, {"<a>", 1}, {"c", -1}}));
}

TEST(SpecialTokens, ALongerOneWinsOverAnEarlierOne) {
  SpecialTokens tokens;
  tokens.add("ab", 1, false);
  tokens.add("bcd", 2, false);
  EXPECT_EQ(split(tokens, "xabcd"), (Fragments{{"xa", -1}, {"bcd", 2}}));
}

TEST(SpecialTokens, ControlTokensNeedToBeAskedFor) {
  SpecialTokens tokens;
  tokens.add("<c>", 1, false);
  tokens.add("<u>", 2, true);
  EXPECT_EQ(split(tokens, "<c><u>", false), (Fragments{{"<c>", -1}, {"<u>", 2}}));
  EXPECT_EQ(split(tokens, "<c><u>", true), (Fragments{{"<c>", 1}, {"<u>", 2}}));
}

TEST(SpecialTokens, RandomOverlapsAreSettledLongestFirst) {
  testing::SeededRandom random(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> words;
    const auto word = [&](int64_t max) {
      std::string text(static_cast<size_t>(random.integer(1, max)), 'a');
      for (char& c : text) c = static_cast<char>('a' + random.integer(0, 1));
      return text;
    };
    SpecialTokens tokens;
    for (int i = 0; i < 4; ++i) {
      const std::string candidate = word(5);
      if (std::count(words.begin(), words.end(), candidate) > 0) continue;
      tokens.add(candidate, static_cast<int32_t>(words.size()), true);
      words.push_back(candidate);
    }
    const std::string text = word(20);
    ASSERT_EQ(split(tokens, text), split_slowly(words, text)) << text;
  }
}

TEST(SpecialTokens, ALongRunOfNestedTokensIsNotSlow) {
  SpecialTokens tokens;
  for (int n = 1; n <= 32; ++n) tokens.add(std::string(static_cast<size_t>(n), '\n'), n, true);
  const Fragments fragments = split(tokens, std::string(320'003, '\n'));
  EXPECT_EQ(fragments.size(), 10'001u);
  EXPECT_EQ(fragments.back().second, 3);
}

}  // namespace
}  // namespace lockstep
