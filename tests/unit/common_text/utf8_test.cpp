#include "common/text/utf8.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

using utf8::State;

TEST(TextUtf8, EveryCodePointReadsBackAsWritten) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    utf8::append(c, text);
    const utf8::Step step = utf8::next(text);
    ASSERT_EQ(step.state, State::kChar) << static_cast<uint32_t>(c);
    ASSERT_EQ(step.code_point, c);
    ASSERT_EQ(step.n_bytes, text.size());
  }
}

TEST(TextUtf8, EveryProperPrefixOfACharacterIsIncomplete) {
  for (const std::string text : {"é", "中", "\uFFFD", "🙂", "\U0010FFFF"}) {
    for (size_t n = 1; n < text.size(); ++n) {
      const utf8::Step step = utf8::next(text.substr(0, n));
      EXPECT_EQ(step.state, State::kIncomplete) << text << " " << n;
      EXPECT_EQ(step.n_bytes, n);
    }
  }
}

TEST(TextUtf8, WhatTheStandardForbidsIsInvalid) {
  const std::string lone_continuation = "\x80", overlong = "\xC0\xAF",
                    long_overlong = "\xE0\x80\xAF";
  const std::string surrogate = "\xED\xA0\x80", too_large = "\xF4\x90\x80\x80", lead_f8 = "\xF8x";
  for (const std::string& text :
       {lone_continuation, overlong, long_overlong, surrogate, too_large, lead_f8}) {
    const utf8::Step step = utf8::next(text);
    EXPECT_EQ(step.state, State::kInvalid) << ::testing::PrintToString(text);
    EXPECT_EQ(step.n_bytes, 1u);
    EXPECT_FALSE(utf8::is_valid(text));
  }
  EXPECT_EQ(utf8::next("\xF0\x9F\x98x").n_bytes, 3u) << "the longest prefix that looked right";
}

// Table 3-7 of the Unicode standard: the second bytes that each first byte admits.
TEST(TextUtf8, EveryFirstAndSecondByteAsTheStandardHasThem) {
  for (int first = 0x80; first <= 0xFF; ++first) {
    const int low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const int high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    const bool begins = first >= 0xC2 && first <= 0xF4;
    for (int second = 0; second <= 0xFF; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second)};
      const bool fits = begins && second >= low && second <= high;
      const utf8::Step step = utf8::next(text);
      ASSERT_EQ(step.state, !fits          ? State::kInvalid
                            : first < 0xE0 ? State::kChar
                                           : State::kIncomplete)
          << ::testing::PrintToString(text);
      ASSERT_EQ(step.n_bytes, fits ? 2u : 1u) << ::testing::PrintToString(text);
    }
  }
}

TEST(TextUtf8, WellFormedTextIsAccepted) {
  for (const char* text : {"", "plain", "h\xC3\xA9", "\xE4\xBD\xA0\xE5\xA5\xBD", "\xF0\x9F\x98\x80",
                           "\xED\x9F\xBF", "\xEE\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(utf8::is_valid(text)) << text;
    EXPECT_EQ(utf8::replace_invalid(text), text);
  }
  EXPECT_TRUE(utf8::is_valid(std::string_view("a\0b", 3)));
}

TEST(TextUtf8, OverlongFormsSurrogatesAndStraysAreNot) {
  for (const char* text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3", "\xE4\xBD", "\xF0\x9F\x98"}) {
    EXPECT_FALSE(utf8::is_valid(text));
  }
}

// The expectations are what Python's bytes.decode("utf-8", "replace") gives.
TEST(TextUtf8, EachIllFormedPartBecomesOneReplacementCharacter) {
  const std::string bad(utf8::kReplacement);
  EXPECT_EQ(utf8::replace_invalid("a\x80z"), "a" + bad + "z");
  EXPECT_EQ(utf8::replace_invalid("\xE4\xBD"), bad);
  EXPECT_EQ(utf8::replace_invalid("\xF0\x9F\x98z"), bad + "z");
  EXPECT_EQ(utf8::replace_invalid("\xED\xA0\x80"), bad + bad + bad);
  EXPECT_EQ(utf8::replace_invalid("\xE4\xE4\xBD\xA0"), bad + "\xE4\xBD\xA0");
}

}  // namespace
}  // namespace lockstep
