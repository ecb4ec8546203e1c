#include "wire/codec/utf8.h"

#include <gtest/gtest.h>

namespace lockstep::wire {
namespace {

constexpr const char* kBad = "\xEF\xBF\xBD";

TEST(Utf8, WellFormedTextIsAccepted) {
  for (const char* text : {"", "plain", "h\xC3\xA9", "\xE4\xBD\xA0\xE5\xA5\xBD", "\xF0\x9F\x98\x80",
                           "\xED\x9F\xBF", "\xEE\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(is_valid_utf8(text)) << text;
    EXPECT_EQ(replace_invalid_utf8(text), text);
  }
  EXPECT_TRUE(is_valid_utf8(std::string_view("a\0b", 3)));
}

TEST(Utf8, OverlongFormsSurrogatesAndStraysAreNot) {
  for (const char* text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3", "\xE4\xBD", "\xF0\x9F\x98"}) {
    EXPECT_FALSE(is_valid_utf8(text));
  }
}

// The expected texts are those of Python's bytes.decode("utf-8", "replace").
TEST(Utf8, EachIllFormedPartBecomesOneReplacementCharacter) {
  const std::string bad = kBad;
  EXPECT_EQ(replace_invalid_utf8("a\x80z"), "a" + bad + "z");
  EXPECT_EQ(replace_invalid_utf8("\xE4\xBD"), bad);
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x98z"), bad + "z");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), bad + bad + bad);
  EXPECT_EQ(replace_invalid_utf8("\xE4\xE4\xBD\xA0"), bad + "\xE4\xBD\xA0");
}

}  // namespace
}  // namespace lockstep::wire
