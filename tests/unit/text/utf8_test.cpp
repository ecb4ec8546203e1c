#include "node/text/utf8.h"

#include <gtest/gtest.h>

#include "node/text/tokenizer/byte_alphabet.h"

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

TEST(ByteAlphabet, SpellsEveryByteAsOneCharacterOfItsOwn) {
  std::string spelled, bytes;
  for (int byte = 0; byte < 256; ++byte) {
    utf8::append(byte_to_letter(static_cast<uint8_t>(byte)), spelled);
    bytes.push_back(static_cast<char>(byte));
  }
  EXPECT_EQ(spelled_bytes(spelled), bytes);
}

TEST(ByteAlphabet, IsTheOneOfGpt2) {
  EXPECT_EQ(spelled_bytes("ĠHelloĊ"), " Hello\n");
  EXPECT_EQ(spelled_bytes("Ã©"), "é");
  EXPECT_EQ(spelled_bytes("中<"), "中<") << "what is no letter stays";
}

}  // namespace
}  // namespace lockstep
