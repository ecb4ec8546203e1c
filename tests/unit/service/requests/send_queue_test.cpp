#include "node/service/requests/send_queue.h"

#include <gtest/gtest.h>

#include "wire/codec/codec.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

// A ROUTER whose peers take as much as a test says.
class FakeRouter {
 public:
  SendQueue::SendFunction function() {
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

TEST(SendQueue, FinalMessagesWaitInOrderForASlowPeer) {
  FakeRouter router;
  SendQueue send_queue(router.function());
  router.room = 1;
  for (const char* id : {"1", "2", "3"}) send_queue.send("p", word(id));
  EXPECT_EQ(router.delivered, std::vector<std::string>{"1"});
  EXPECT_FALSE(send_queue.empty());
  router.room = 1;
  send_queue.flush();
  router.room = 9;
  send_queue.send("p", word("4"));  // must not overtake "3"
  send_queue.flush();
  EXPECT_EQ(router.delivered, (std::vector<std::string>{"1", "2", "3", "4"}));
  EXPECT_TRUE(send_queue.empty());
  EXPECT_TRUE(send_queue.take_lost().empty());
}

TEST(SendQueue, AReplyThatItsReaderCouldNotReadIsSentAsAnError) {
  std::vector<std::string> sent;
  SendQueue send_queue([&](const std::string&, std::string_view body) -> Result<wire::SendResult> {
    sent.emplace_back(body);
    return wire::SendResult::kSent;
  });
  wire::Accepted many;
  many.request_id = "many";
  many.prompt_token_ids.assign(wire::kMaxValues, 5);
  send_queue.send("p", many);
  send_queue.send("p", wire::Detokenized{"large", std::string(wire::kMaxFrameBytes, 'x')});
  ASSERT_EQ(sent.size(), 2u);
  for (const std::string& body : sent) {
    const auto error = std::get<wire::ErrorReply>(*wire::decode(body));
    EXPECT_EQ(error.request_id, &body == &sent[0] ? "many" : "large");
    EXPECT_EQ(error.code, ErrorCode::kPayloadTooLarge);
  }
}

TEST(SendQueue, TokensAreRefusedNotKept) {
  FakeRouter router;
  SendQueue send_queue(router.function());
  EXPECT_TRUE(send_queue.try_send("p", wire::encode(word("1"))));
  router.room = 0;
  EXPECT_FALSE(send_queue.try_send("p", wire::encode(word("2"))));
  EXPECT_TRUE(send_queue.empty());
  send_queue.send("p", word("3"));
  router.room = 9;
  EXPECT_FALSE(send_queue.try_send("p", wire::encode(word("4"))))
      << "it would overtake a final message";
  send_queue.flush();
  EXPECT_EQ(router.delivered, (std::vector<std::string>{"1", "3"}));
}

TEST(SendQueue, GonePeersAreReportedOnceAndForgotten) {
  FakeRouter router;
  SendQueue send_queue(router.function());
  router.room = 0;
  send_queue.send("p", word("1"));
  router.gone.insert("p");
  send_queue.flush();
  EXPECT_TRUE(send_queue.empty());
  EXPECT_EQ(send_queue.take_lost(), std::vector<std::string>{"p"});
  EXPECT_TRUE(send_queue.take_lost().empty());
}

TEST(SendQueue, APeerThatNeverReadsCountsAsGone) {
  FakeRouter router;
  SendQueue send_queue(router.function());
  router.room = 0;
  for (int i = 0; i < 10000; ++i) send_queue.send("p", word("x"));
  EXPECT_EQ(send_queue.take_lost(), std::vector<std::string>{"p"});
}

}  // namespace
}  // namespace lockstep
