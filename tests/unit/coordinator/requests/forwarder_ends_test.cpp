// Forwarder: how a request ends when its node is lost, its client disconnects or cancels, or its
// deadline passes.
#include <array>

#include "common/log.h"
#include "tests/support/random.h"
#include "tests/unit/coordinator/forwarder_harness.h"

namespace lockstep::testing {
namespace {

TEST_F(ForwarderTest, ALostNodeEndsItsStreamsIfNoOtherTakesThemAndNoOthers) {
  node_is_ready(0);
  node_is_ready(1);
  forwarder_->submit(client(), generate("a"));
  tokens({1}, 0);
  forwarder_->submit(client(), generate("b"));
  links_.cut_off[1] = true;
  forwarder_->on_node_lost(NodeId{0});
  EXPECT_EQ(only_error().code, ErrorCode::kDecodeFailed);
  ASSERT_EQ(replies_->all<wire::ErrorReply>().size(), 1u);
  EXPECT_EQ(replies_->all<wire::ErrorReply>()[0].request_id, "a");
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
  forwarder_->check_invariants();
}

TEST_F(ForwarderTest, WhatEndedWithItsNodeIsCountedByRequest) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b", 3));
  forwarder_->submit(client(), wire::Tokenize{"t", "m", "Hi", {}, {}, {}});
  EXPECT_TRUE(page_has("requests_lost_total 0"));
  forwarder_->on_node_lost(NodeId{0});
  EXPECT_TRUE(page_has("requests_lost_total 3")) << "one for the three choices of b";
  EXPECT_TRUE(page_has("requests_total{outcome=\"decode_failed\"} 3"));
  forwarder_->on_node_lost(NodeId{0});  // dead first, then back with a new epoch
  EXPECT_TRUE(page_has("requests_lost_total 3"));
}

TEST_F(ForwarderTest, WhatEndedBeforeOrRunsElsewhereIsNotLostWithANode) {
  node_is_ready(0);
  forwarder_->submit(client(), generate("answered"));
  done();
  forwarder_->submit(client(), generate("failed by its node"));
  forwarder_->on_node_message(NodeId{0},
                              wire::ErrorReply{upstream(), ErrorCode::kDecodeFailed, "NaN", ""});
  forwarder_->submit(client("gone"), generate("of a client that left"));
  forwarder_->drop_client("gone");
  node_is_ready(1);
  forwarder_->submit(client(), generate("on one"));
  tokens({1}, 0, 1, 0, raw(links_.last_node()));
  forwarder_->submit(client(), generate("on the other"));
  forwarder_->on_node_lost(NodeId{0});
  EXPECT_TRUE(page_has("requests_lost_total 0"));
  EXPECT_TRUE(page_has("requests_total{outcome=\"decode_failed\"} 1"));
  EXPECT_EQ(forwarder_->n_inflight(), 2u) << "both run on node 1";
}

TEST_F(ForwarderTest, AZombiesTokensAreAnsweredWithCancel) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->on_node_lost(NodeId{0});
  links_.sent.erase(links_.sent.begin() + 1, links_.sent.end());
  tokens({1}, 0);
  EXPECT_EQ(links_.all<wire::Cancel>().at(0).request_id, upstream());
  EXPECT_TRUE(replies_->all<wire::Tokens>().empty());
}

TEST_F(ForwarderTest, AnotherNodeCannotSpeakForARequest) {
  node_is_ready(0);
  node_is_ready(1);
  forwarder_->submit(client(), generate());
  tokens({1}, 0, 1, 0, 1);
  forwarder_->on_node_message(NodeId{1}, wire::Done{upstream(), "stop", {}});
  EXPECT_TRUE(replies_->got.empty());
}

TEST_F(ForwarderTest, CancelReachesTheNodeAndItsAnswerTheClient) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->cancel("c", "r");
  forwarder_->cancel("c", "r");
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 1u);
  EXPECT_EQ(links_.all<wire::Cancel>()[0].request_id, upstream());
  forwarder_->on_node_message(NodeId{0}, wire::Done{upstream(), "cancelled", {}});
  EXPECT_EQ(replies_->all<wire::Done>()[0].reason, "cancelled");
}

TEST_F(ForwarderTest, CancelOfAnotherClientsRequestDoesNothing) {
  node_is_ready(0);
  forwarder_->submit(client("c"), generate());
  forwarder_->cancel("d", "r");
  EXPECT_TRUE(links_.all<wire::Cancel>().empty());
}

TEST_F(ForwarderTest, ANodeThatIgnoresCancelDoesNotHoldTheClientUp) {
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  forwarder_->cancel("c", "r");
  clock_.advance(milliseconds(10'000));
  forwarder_->tick();
  EXPECT_EQ(only_error().code, ErrorCode::kCancelled);
}

TEST_F(ForwarderTest, AGoneClientsRequestsAreCancelledInSilence) {
  node_is_ready(0);
  forwarder_->submit(client("c"), generate("a"));
  forwarder_->submit(client("c"), generate("b"));
  forwarder_->submit(client("d"), generate("a"));
  forwarder_->drop_client("c");
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 2u);
  EXPECT_TRUE(replies_->got.empty());
  EXPECT_EQ(forwarder_->n_inflight(), 1u);
}

TEST_F(ForwarderTest, TheDeadlineIsAFinalMessageToo) {
  make({.request_timeout = milliseconds(5000)});
  node_is_ready(0);
  forwarder_->submit(client(), generate());
  clock_.advance(milliseconds(4999));
  forwarder_->tick();
  EXPECT_TRUE(replies_->got.empty());
  clock_.advance(milliseconds(1));
  forwarder_->tick();
  EXPECT_EQ(only_error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(links_.all<wire::Cancel>().size(), 1u);
}

// 2,000 random events. In the end, every submitted request has had exactly one final message,
// unless its client disconnected.
TEST_F(ForwarderTest, EveryRequestGetsOneFinalMessage) {
  testing::SeededRandom random(20261121);
  make({.request_timeout = milliseconds(3000)});
  size_t n_submitted = 0;
  for (int i = 0; i < 2000; ++i) {
    node_is_ready(0, 1 + static_cast<uint64_t>(i / 500));
    node_is_ready(1, 1);
    node_is_ready(2, 1);
    const auto pick = [&] {
      const auto all = links_.all<wire::Generate>();
      return all.empty()
                 ? std::string("none")
                 : all[static_cast<size_t>(random.integer(0, static_cast<int64_t>(all.size()) - 1))]
                       .request_id;
    };
    const NodeId node{static_cast<uint32_t>(random.integer(0, 2))};
    switch (random.integer(0, 9)) {
      case 0:
      case 1:
        forwarder_->submit(client(), generate(str("r", n_submitted++), random.integer(1, 3)));
        break;
      case 2:
        forwarder_->on_node_message(node, wire::Done{pick(), "stop", {}});
        break;
      case 3: {
        wire::Tokens message;
        message.request_id = pick();
        message.choice = static_cast<uint32_t>(random.integer(0, 3));
        message.first_index = static_cast<uint32_t>(random.integer(0, 1));
        message.ids = {1};
        message.epoch = static_cast<uint64_t>(random.integer(1, 2));
        forwarder_->on_node_message(node, message);
        break;
      }
      case 4:
        forwarder_->on_node_message(node, wire::ErrorReply{pick(), ErrorCode::kInternal, "x", ""});
        break;
      case 5:
        forwarder_->cancel("c", str("r", random.integer(0, static_cast<int64_t>(n_submitted))));
        break;
      case 7: {
        constexpr std::array kCodes = {ErrorCode::kOverloaded, ErrorCode::kNoNodeReady,
                                       ErrorCode::kContextLengthExceeded};
        const auto code = kCodes[static_cast<size_t>(random.integer(0, 2))];
        forwarder_->on_node_message(node, wire::ErrorReply{pick(), code, "x", ""});
        break;
      }
      case 8:
        forwarder_->on_node_message(node, wire::Done{pick(), "cancelled", {}});
        break;
      case 6:
        clock_.advance(milliseconds(random.integer(0, 200)));
        forwarder_->tick();
        break;
      default:
        if (random.chance(0.1)) forwarder_->on_node_lost(node);
    }
    forwarder_->check_invariants();
    EXPECT_EQ(replies_->n_final_messages() + forwarder_->n_inflight(), n_submitted);
  }
  clock_.advance(milliseconds(10'000));
  forwarder_->tick();
  EXPECT_EQ(forwarder_->n_inflight(), 0u);
  EXPECT_EQ(replies_->n_final_messages(), n_submitted);
  std::map<std::string, int> words;
  for (const auto& done : replies_->all<wire::Done>()) ++words[done.request_id];
  for (const auto& error : replies_->all<wire::ErrorReply>()) ++words[error.request_id];
  for (const auto& [id, n] : words) EXPECT_EQ(n, 1) << id;
}

}  // namespace
}  // namespace lockstep::testing
