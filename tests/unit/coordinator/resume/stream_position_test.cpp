// Positions of streams: the ids of events, and the texts that clients send as such.
#include "coordinator/resume/stream_position.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace lockstep {
namespace {

std::string refusal(const std::string& text, size_t n_choices) {
  const Result<StreamPosition> position = parse_position(text, n_choices);
  if (position) return "";
  EXPECT_EQ(position.error().param, "last-event-id");
  EXPECT_EQ(position.error().code, ErrorCode::kInvalidRequest);
  return position.error().message;
}

TEST(StreamPosition, HasTheseTexts) {
  EXPECT_EQ(to_string({{{true, 17, ""}}, false}), "0:17");
  EXPECT_EQ(to_string({{{true, 17, ""}, {true, 15, ""}, {true, 16, ""}}, false}), "0:17,1:15,2:16");
  EXPECT_EQ(to_string({{{true, 17, "stop"}, {true, 40, "length"}}, true}),
            "0:17:stop,1:40:length,usage");
  EXPECT_EQ(to_string({{{true, 0, ""}, {}, {}}, false}), "0:0");
  EXPECT_EQ(to_string({{{}, {true, 3, ""}}, false}), "1:3");
}

TEST(StreamPosition, WhatIsWrittenIsReadAgain) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 500; ++i) {
    StreamPosition position;
    position.choices.resize(1 + random() % kMaxResumableChoices);
    for (ChoicePosition& choice : position.choices) {
      choice.begun = random() % 4 > 0;
      if (!choice.begun) continue;
      choice.index = random() % 2 == 0 ? random() % 20 : random() >> 33;
      const char* reasons[] = {"", "stop", "length"};
      choice.finish_reason = reasons[random() % 3];
    }
    position.choices.back().begun = true;
    position.has_usage = random() % 4 == 0;
    const std::string text = to_string(position);
    const Result<StreamPosition> read = parse_position(text, position.choices.size());
    ASSERT_TRUE(read) << text << ": " << read.error().message;
    EXPECT_EQ(*read, position) << text;
  }
}

TEST(StreamPosition, TextsThatAreNoPositionAreRefused) {
  for (const char* text : {"",
                           ",",
                           "0",
                           ":",
                           "0:",
                           ":0",
                           "0:1,",
                           ",0:1",
                           "0:1,,1:1",
                           "0:1:",
                           "0:1:cancelled",
                           "0:1:stop:stop",
                           "0:-1",
                           "-1:0",
                           "0:+1",
                           "0: 1",
                           " 0:1",
                           "0:1 ",
                           "0x0:1",
                           "0:1.5",
                           "a:b",
                           "0:2147483648",
                           "0:99999999999999999999",
                           "usage",
                           "0:1,usage,usage",
                           "0:1;1:1"})
    EXPECT_NE(refusal(text, 2), "") << text;
}

TEST(StreamPosition, AChoiceIsNamedOnceAndExists) {
  EXPECT_EQ(refusal("0:17,2:3", 2), "last-event-id names choice 2, the response has 2");
  EXPECT_EQ(refusal("1:3,0:3", 2), "last-event-id must name each choice once, in their order");
  EXPECT_EQ(refusal("0:3,0:4", 2), "last-event-id must name each choice once, in their order");
  EXPECT_EQ(refusal("0:2147483647", 1), "");
}

}  // namespace
}  // namespace lockstep
