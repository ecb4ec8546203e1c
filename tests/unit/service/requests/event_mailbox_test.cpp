#include "node/service/requests/event_mailbox.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/fake_clock.h"

namespace lockstep {
namespace {

TEST(EventMailbox, EventsOfSeveralStepsAreCopiedInOrder) {
  testing::FakeClock clock;
  EventMailbox mailbox(clock);
  int n_notified = 0;
  mailbox.on_outputs([&] { ++n_notified; });
  for (int32_t step = 0; step < 3; ++step) {
    const std::vector<int32_t> ids = {step, step + 10};
    const std::vector<float> logprobs = {-1.0f - static_cast<float>(step), -2.0f};
    const std::vector<TokenLogprob> top = {{step, -1.0f}, {step + 10, -2.0f}};
    std::string text = "piece" + std::to_string(step);
    std::string stop = "STOP";
    ChoiceEvent with;
    with.request = RequestId{1};
    with.ids = ids;
    with.text = text;
    with.logprobs = logprobs;
    with.top = top;
    with.stop_string = stop;
    ChoiceEvent without;
    without.request = RequestId{2};
    without.ids = std::span(ids).first(1);
    const std::vector<ChoiceEvent> choices = {with, without};
    std::string why = "cause";
    RequestEnd end;
    end.request = RequestId{1};
    end.message = why;
    const std::vector<RequestEnd> ends(step == 2 ? 1 : 0, end);
    clock.advance(std::chrono::seconds{1});
    mailbox.on_events({choices, ends});
    text = stop = why = "overwritten";  // the batch is dead now
  }
  StepOutputs outputs;
  mailbox.take(outputs);
  EXPECT_EQ(n_notified, 3);
  ASSERT_EQ(outputs.choices().size(), 6u);
  for (size_t step = 0; step < 3; ++step) {
    const ChoiceEvent with = outputs.view(outputs.choices()[2 * step]);
    EXPECT_EQ(with.ids[1], static_cast<int32_t>(step) + 10);
    EXPECT_EQ(with.text, "piece" + std::to_string(step));
    EXPECT_EQ(with.logprobs[0], -1.0f - static_cast<float>(step));
    EXPECT_EQ(with.top[1].id, static_cast<int32_t>(step) + 10);
    EXPECT_EQ(with.stop_string, "STOP");
    const ChoiceEvent without = outputs.view(outputs.choices()[2 * step + 1]);
    EXPECT_EQ(without.ids.size(), 1u);
    EXPECT_TRUE(without.logprobs.empty());
    EXPECT_TRUE(without.top.empty());
    EXPECT_TRUE(without.text.empty());
  }
  EXPECT_EQ(outputs.choices()[5].at - outputs.choices()[0].at, std::chrono::seconds{2});
  ASSERT_EQ(outputs.ends().size(), 1u);
  EXPECT_EQ(outputs.ends()[0].message, "cause");
  mailbox.take(outputs);
  EXPECT_TRUE(outputs.choices().empty());
  EXPECT_TRUE(outputs.ends().empty());
}

TEST(EventMailbox, NothingIsLostBetweenTwoThreads) {
  constexpr int kEvents = 20000;
  SteadyClock clock;
  EventMailbox mailbox(clock);
  std::thread engine([&] {
    for (int32_t i = 0; i < kEvents; ++i) {
      const std::vector<int32_t> ids = {i};
      ChoiceEvent event;
      event.ids = ids;
      const std::vector<ChoiceEvent> choices = {event};
      mailbox.on_events({choices, {}});
    }
  });
  StepOutputs outputs;
  int32_t next = 0;
  while (next < kEvents) {
    mailbox.take(outputs);
    for (const StepOutputs::Choice& choice : outputs.choices()) {
      ASSERT_EQ(outputs.view(choice).ids[0], next);
      ++next;
    }
  }
  engine.join();
}

}  // namespace
}  // namespace lockstep
