// Mailbox: requests, cancels and tasks from any thread to the engine thread.
#include "node/engine/core/mailbox.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

std::unique_ptr<LiveRequest> request(uint64_t id, size_t n_prompt = 1) {
  GenerationRequest r;
  r.id = RequestId{id};
  r.prompt.assign(n_prompt, 1);
  return std::make_unique<LiveRequest>(std::move(r));
}

void end(Mailbox& mailbox, uint64_t id) {
  RequestEnd ended;
  ended.request = RequestId{id};
  mailbox.forget({&ended, 1});
}

void take_now(Mailbox& mailbox, Mail& mail) {
  mailbox.wait_take(mail, std::chrono::nanoseconds{0});
}

TEST(Mailbox, ACancelIsForTheRequestThatWasLiveNotForTheNextOfItsId) {
  Mailbox mailbox(8);
  Mail mail;
  ASSERT_TRUE(mailbox.post(request(1)));
  take_now(mailbox, mail);
  mailbox.post_cancel(RequestId{1});
  end(mailbox, 1);  // the request ends before the engine thread takes the cancel
  ASSERT_TRUE(mailbox.post(request(1)));
  take_now(mailbox, mail);
  EXPECT_EQ(mail.arrivals.size(), 1u);
  EXPECT_TRUE(mail.cancels.empty());
}

TEST(Mailbox, AnIdIsTakenUntilItsFinalMessage) {
  Mailbox mailbox(8);
  ASSERT_TRUE(mailbox.post(request(1)));
  EXPECT_EQ(mailbox.post(request(1)).error().code, ErrorCode::kConflict);
  end(mailbox, 1);
  EXPECT_TRUE(mailbox.post(request(1)));
}

TEST(Mailbox, WhatTheEngineHasNotAdmittedCountsAsQueued) {
  Mailbox mailbox(2);
  Mail mail;
  ASSERT_TRUE(mailbox.post(request(1)));
  ASSERT_TRUE(mailbox.post(request(2)));
  EXPECT_EQ(mailbox.post(request(3)).error().code, ErrorCode::kOverloaded);
  take_now(mailbox, mail);
  EXPECT_EQ(mailbox.post(request(3)).error().code, ErrorCode::kOverloaded);
  mailbox.set_n_waiting(1);
  EXPECT_TRUE(mailbox.post(request(3)));
}

TEST(Mailbox, PromptTokensThatWaitAreBoundedToo) {
  Mailbox mailbox(8, 10);
  Mail mail;
  ASSERT_TRUE(mailbox.post(request(1, 6)));
  ASSERT_TRUE(mailbox.post(request(2, 4)));
  const Status refused = mailbox.post(request(3, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(refused.error().message,
            "10 prompt tokens are waiting, with 1 more they would exceed the queue's 10");
  take_now(mailbox, mail);
  EXPECT_FALSE(mailbox.post(request(3, 1))) << "what the engine has not admitted counts";
  mailbox.set_n_waiting(1, 4);
  EXPECT_TRUE(mailbox.post(request(3, 6)));
}

TEST(Mailbox, APromptLongerThanTheTokensThatMayWaitIsTakenByAnEmptyQueue) {
  Mailbox mailbox(8, 10);
  ASSERT_TRUE(mailbox.post(request(1, 50)));
  EXPECT_FALSE(mailbox.post(request(2, 1)));
}

TEST(Mailbox, TasksAreTakenInOrderAndNeverMoreThanMayWait) {
  Mailbox mailbox(8);
  Mail mail;
  for (size_t i = 0; i < Mailbox::kMaxTasks; ++i) {
    ASSERT_TRUE(mailbox.post_task([](EngineCore&) {}));
  }
  EXPECT_FALSE(mailbox.post_task([](EngineCore&) {}));
  mailbox.wait_take(mail);
  EXPECT_EQ(mail.tasks.size(), Mailbox::kMaxTasks);
  EXPECT_TRUE(mailbox.post_task([](EngineCore&) {}));
  mailbox.stop();
  EXPECT_FALSE(mailbox.post_task([](EngineCore&) {}));
  mailbox.wait_take(mail);
  EXPECT_EQ(mail.tasks.size(), 1u);  // taken before the stop: it runs
}

TEST(Mailbox, ACancelIsPostedOnce) {
  Mailbox mailbox(8);
  Mail mail;
  ASSERT_TRUE(mailbox.post(request(1)));
  mailbox.post_cancel(RequestId{1});
  mailbox.post_cancel(RequestId{1});
  mailbox.post_cancel(RequestId{2});  // an unknown id
  take_now(mailbox, mail);
  EXPECT_EQ(mail.cancels, std::vector{RequestId{1}});
}

}  // namespace
}  // namespace lockstep
