// EventBuffer: spans and views that point at the right parts, even after the buffers have grown.
#include "node/engine/sequence/event_buffer.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(EventBuffer, PartsBelongToTheChoiceThatWasBegun) {
  EventBuffer events(1);
  for (uint32_t choice = 0; choice < 50; ++choice) {
    events.begin_choice(RequestId{9}, choice, 10 * choice);
    for (uint32_t i = 0; i < choice % 3; ++i) {
      events.add_id(static_cast<int32_t>(choice));
      events.add_logprob(static_cast<float>(choice));
    }
    const TokenLogprob top[] = {{static_cast<int32_t>(choice), 1.0f}};
    if (choice % 2 == 1) events.add_top(top);
    events.text() += std::string(choice * 20, 'x');
  }
  events.end_choice(FinishReason::kStop, "END", 4);
  const EventBatch batch = events.batch();
  ASSERT_EQ(batch.choices.size(), 50u);
  for (uint32_t choice = 0; choice < 50; ++choice) {
    const ChoiceEvent& event = batch.choices[choice];
    EXPECT_EQ(event.choice, choice);
    EXPECT_EQ(event.first_index, 10 * choice);
    EXPECT_EQ(event.ids.size(), choice % 3);
    for (int32_t id : event.ids) EXPECT_EQ(id, static_cast<int32_t>(choice));
    EXPECT_EQ(event.logprobs.size(), choice % 3);
    EXPECT_EQ(event.top.size(), choice % 2);
    EXPECT_EQ(event.text.size(), choice * 20);
    EXPECT_EQ(event.finished.has_value(), choice == 49);
  }
  EXPECT_EQ(batch.choices[49].stop_string, "END");
  EXPECT_EQ(batch.choices[49].stop_token, 4);
}

TEST(EventBuffer, ClearForgetsEverything) {
  EventBuffer events(4);
  EXPECT_TRUE(events.empty());
  events.begin_choice(RequestId{1}, 0, 0);
  events.add_end(RequestEnd());
  EXPECT_FALSE(events.empty());
  events.clear();
  EXPECT_TRUE(events.empty());
  EXPECT_TRUE(events.batch().choices.empty());
  EXPECT_TRUE(events.batch().ends.empty());
}

}  // namespace
}  // namespace lockstep
