#include "node/service/outbox.h"

#include <gtest/gtest.h>

#include "wire/codec.h"

namespace lockstep {
namespace {

// A ROUTER whose peers take as much as a test says.
class FakeRouter {
 public:
  Outbox::SendFunction function() {
    return [this](const std::string& peer, std::string_view body) -> Result<wire::SendResult> {
      if (gone.contains(peer)) return wire::SendResult::kUnreachable;
      if (room == 0) return wire::SendResult::kFull;
      --room;
      delivered.push_back(std::get<wire::Cancel>(*wire::decode(body)).request_id);
      return wire::SendResult::kSent;
    };
  }
  int room = 1000;
  std::set<std::string> gone;
  std::vector<std::string> delivered;
};

wire::Message word(const std::string& id) { return wire::Cancel{id}; }

TEST(Outbox, FinalMessagesWaitInOrderForASlowPeer) {
  FakeRouter router;
  Outbox outbox(router.function());
  router.room = 1;
  for (const char* id : {"1", "2", "3"}) outbox.send("p", word(id));
  EXPECT_EQ(router.delivered, std::vector<std::string>{"1"});
  EXPECT_FALSE(outbox.empty());
  router.room = 1;
  outbox.flush();
  router.room = 9;
  outbox.send("p", word("4"));  // must not overtake "3"
  outbox.flush();
  EXPECT_EQ(router.delivered, (std::vector<std::string>{"1", "2", "3", "4"}));
  EXPECT_TRUE(outbox.empty());
  EXPECT_TRUE(outbox.take_lost().empty());
}

TEST(Outbox, AReplyThatItsReaderCouldNotReadIsSentAsAnError) {
  std::vector<std::string> sent;
  Outbox outbox([&](const std::string&, std::string_view body) -> Result<wire::SendResult> {
    sent.emplace_back(body);
    return wire::SendResult::kSent;
  });
  wire::Accepted many;
  many.request_id = "many";
  many.prompt_token_ids.assign(wire::kMaxValues, 5);
  outbox.send("p", many);
  outbox.send("p", wire::Detokenized{"large", std::string(wire::kMaxFrameBytes, 'x')});
  ASSERT_EQ(sent.size(), 2u);
  for (const std::string& body : sent) {
    const auto error = std::get<wire::ErrorReply>(*wire::decode(body));
    EXPECT_EQ(error.request_id, &body == &sent[0] ? "many" : "large");
    EXPECT_EQ(error.code, ErrorCode::kPayloadTooLarge);
  }
}

TEST(Outbox, NewsIsRefusedNotKept) {
  FakeRouter router;
  Outbox outbox(router.function());
  EXPECT_TRUE(outbox.try_send("p", wire::encode(word("1"))));
  router.room = 0;
  EXPECT_FALSE(outbox.try_send("p", wire::encode(word("2"))));
  EXPECT_TRUE(outbox.empty());
  outbox.send("p", word("3"));
  router.room = 9;
  EXPECT_FALSE(outbox.try_send("p", wire::encode(word("4"))))
      << "it would overtake a final message";
  outbox.flush();
  EXPECT_EQ(router.delivered, (std::vector<std::string>{"1", "3"}));
}

TEST(Outbox, GonePeersAreReportedOnceAndForgotten) {
  FakeRouter router;
  Outbox outbox(router.function());
  router.room = 0;
  outbox.send("p", word("1"));
  router.gone.insert("p");
  outbox.flush();
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.take_lost(), std::vector<std::string>{"p"});
  EXPECT_TRUE(outbox.take_lost().empty());
}

TEST(Outbox, APeerThatNeverReadsCountsAsGone) {
  FakeRouter router;
  Outbox outbox(router.function());
  router.room = 0;
  for (int i = 0; i < 10000; ++i) outbox.send("p", word("x"));
  EXPECT_EQ(outbox.take_lost(), std::vector<std::string>{"p"});
}

}  // namespace
}  // namespace lockstep
