#include "node/text/marked_text.h"

#include <gtest/gtest.h>

#include "tests/support/random.h"

namespace lockstep {
namespace {

// The text, with brackets around input.
std::string shown(const MarkedText& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_input = text.is_input(i);
    const bool was_input = i > 0 && text.is_input(i - 1);
    if (is_input != was_input) out += is_input ? "[" : "]";
    out += text.bytes()[i];
  }
  return text.has_input(text.size() - 1, text.size()) ? out + "]" : out;
}

MarkedText sample() {  // ab[cd]ef[g]
  MarkedText text = MarkedText::own("ab");
  text.append_input("cd");
  text.append_own("ef");
  text.append_input("g");
  return text;
}

TEST(MarkedText, PartsKeepTheirMarks) {
  EXPECT_EQ(shown(sample()), "ab[cd]ef[g]");
  EXPECT_EQ(shown(sample().substr(1, 2)), "b[c]");
  EXPECT_EQ(shown(sample().substr(3)), "[d]ef[g]");
  EXPECT_EQ(shown(sample().substr(4, 2)), "ef");
  EXPECT_TRUE(sample().substr(9).empty());
  const MarkedText text = sample();
  EXPECT_EQ(shown(text.part(std::string_view(text.bytes()).substr(2, 3))), "[cd]e");
  EXPECT_TRUE(text.part({}).empty());
}

TEST(MarkedText, InputThatTouchesIsOneSpan) {
  MarkedText text = MarkedText::from_request("ab");
  text.append(MarkedText::from_request("cd"));
  EXPECT_EQ(text.input(), (std::vector<ByteSpan>{{0, 4}}));
  text.append_input("");
  text.append(MarkedText());
  EXPECT_EQ(text.input().size(), 1u);
  EXPECT_TRUE(MarkedText::from_request("").input().empty());
}

TEST(MarkedText, ARangeHasInputIfAnyByteIs) {
  const MarkedText text = sample();
  EXPECT_FALSE(text.has_input(0, 2));
  EXPECT_TRUE(text.has_input(0, 3));
  EXPECT_TRUE(text.has_input(3, 4));
  EXPECT_FALSE(text.has_input(4, 6));
  EXPECT_TRUE(text.has_input(4, 7));
}

TEST(MarkedText, RandomCutsAndJoinsMarkTheSameBytes) {
  testing::SeededRandom random(17);
  for (int round = 0; round < 2'000; ++round) {
    MarkedText text;
    std::vector<bool> marks;
    for (int i = 0; i < 12; ++i) {
      const auto n = static_cast<size_t>(random.integer(0, 4));
      const bool is_input = random.chance(0.5);
      if (random.chance(0.3) && !text.empty()) {
        const MarkedText copy = text;
        const auto begin = static_cast<size_t>(random.integer(0, std::ssize(text.bytes()) - 1));
        const size_t n_copied = std::min(n, copy.size() - begin);
        text.append_range(copy, begin, n_copied);
        for (size_t j = 0; j < n_copied; ++j) marks.push_back(marks[begin + j]);
      } else {
        text.append(std::string(n, 'x'), is_input);
        marks.insert(marks.end(), n, is_input);
      }
    }
    ASSERT_EQ(text.size(), marks.size());
    for (size_t i = 0; i < marks.size(); ++i) ASSERT_EQ(text.is_input(i), marks[i]) << shown(text);
    for (size_t i = 0; i < text.input().size(); ++i) {
      const ByteSpan span = text.input()[i];
      ASSERT_LT(span.begin, span.end);
      ASSERT_TRUE(i == 0 || text.input()[i - 1].end < span.begin);
    }
  }
}

}  // namespace
}  // namespace lockstep
