// ResumingClient: streams that go on when their server dies, shuts down or hangs, each output once.
#include "clients/cpp/resuming_client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "tests/support/sampled_script.h"
#include "tests/support/wire_peer.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;
using testing::FakeNode;

constexpr auto kTimeout = testing::WirePeer::kTimeout;

// The first `n` messages of sampled(), and nothing more.
FakeNode::Script cut_after(size_t n) {
  return [n](const wire::Generate& request) {
    std::vector<wire::Message> messages = testing::sampled()(request);
    messages.resize(std::min(n, messages.size()));
    return messages;
  };
}

FakeNode::Script ended_after(size_t n, ErrorCode code) {
  return [n, code](const wire::Generate& request) {
    std::vector<wire::Message> messages = cut_after(n)(request);
    messages.push_back(wire::ErrorReply{request.request_id, code, "over", ""});
    return messages;
  };
}

wire::Generate ask() {
  wire::Generate request;
  request.model = "tiny";
  request.prompt_text = "Once";
  request.seed = 7;
  request.n = 2;
  return request;
}

struct Collected {
  std::map<uint32_t, testing::ChoiceOutput> choices;
  size_t n_messages = 0;
  StreamHandlers handlers() {
    StreamHandlers out;
    out.on_tokens = [this](const wire::Tokens& tokens) {
      testing::add_tokens(choices[tokens.choice], tokens);
      ++n_messages;
    };
    return out;
  }
};

Collected undisturbed() {
  FakeNode node(testing::sampled());
  const auto client = ResumingClient::connect({node.endpoint()});
  Collected out;
  EXPECT_TRUE((*client)->generate(ask(), out.handlers(), kTimeout));
  EXPECT_EQ((*client)->n_resumed(), 0);
  return out;
}

void expect_same(const Collected& got, const Collected& wanted) {
  for (uint32_t c = 0; c < 2; ++c) {
    EXPECT_EQ(got.choices.at(c).ids, wanted.choices.at(c).ids);
    EXPECT_EQ(got.choices.at(c).text, wanted.choices.at(c).text);
    EXPECT_EQ(got.choices.at(c).finish_reason, wanted.choices.at(c).finish_reason);
    EXPECT_FALSE(got.choices.at(c).has_gap);
  }
}

TEST(ResumingClient, GoesOnWhereTheServerThatDiedStopped) {
  const Collected wanted = undisturbed();
  for (size_t n = 1; n <= wanted.n_messages + 1; ++n) {
    SCOPED_TRACE(n);
    FakeNode first(cut_after(n)), second(testing::sampled());
    const auto client = ResumingClient::connect({first.endpoint(), second.endpoint()});
    ASSERT_TRUE(client);
    Collected got;
    StreamHandlers handlers = got.handlers();
    size_t n_seen = 0;
    const auto die_behind = [&] {
      if (++n_seen == n) first.die();
    };
    handlers.on_accepted = [&](const wire::Accepted&) { die_behind(); };
    handlers.on_tokens = [&, add = handlers.on_tokens](const wire::Tokens& tokens) {
      add(tokens);
      die_behind();
    };
    const Result<wire::Done> done = (*client)->generate(ask(), handlers, kTimeout);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ((*client)->n_resumed(), 1);
    expect_same(got, wanted);
  }
}

TEST(ResumingClient, GoesOnAfterAShutdownAndAfterAFullQueue) {
  const Collected wanted = undisturbed();
  for (ErrorCode code : {ErrorCode::kNoNodeReady, ErrorCode::kOverloaded}) {
    FakeNode first(ended_after(4, code)), second(testing::sampled());
    const auto client = ResumingClient::connect({first.endpoint(), second.endpoint()});
    Collected got;
    ASSERT_TRUE((*client)->generate(ask(), got.handlers(), kTimeout));
    expect_same(got, wanted);
  }
}

TEST(ResumingClient, ComesBackToTheFirstServer) {
  const Collected wanted = undisturbed();
  std::atomic<int> n_asked{0};
  FakeNode first([&](const wire::Generate& request) {
    return n_asked++ == 0 ? ended_after(3, ErrorCode::kNoNodeReady)(request)
                          : testing::sampled()(request);
  });
  FakeNode second(ended_after(3, ErrorCode::kNoNodeReady));
  const auto client = ResumingClient::connect({first.endpoint(), second.endpoint()});
  Collected got;
  ASSERT_TRUE((*client)->generate(ask(), got.handlers(), kTimeout));
  EXPECT_EQ((*client)->n_resumed(), 2);
  expect_same(got, wanted);
}

TEST(ResumingClient, SkipsAServerThatIsNotThere) {
  FakeNode node(testing::sampled());
  const auto client =
      ResumingClient::connect({"tcp://127.0.0.1:1", node.endpoint()}, {.connect = 200ms});
  EXPECT_TRUE((*client)->generate(ask(), {}, kTimeout));
  EXPECT_TRUE((*client)->generate(ask(), {}, kTimeout)) << "stays where it was served";
}

TEST(ResumingClient, TriesAreBounded) {
  FakeNode node(ended_after(1, ErrorCode::kNoNodeReady));
  const auto client = ResumingClient::connect({node.endpoint()}, {.tries = 3, .pause = 1ms});
  const Result<wire::Done> done = (*client)->generate(ask(), {}, kTimeout);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kNoNodeReady);
  node.wait_request(2);
  EXPECT_EQ((*client)->n_resumed(), 2);
}

TEST(ResumingClient, WhatAnotherServerWouldRefuseTooIsNotTriedAgain) {
  for (ErrorCode code : {ErrorCode::kInvalidRequest, ErrorCode::kDecodeFailed}) {
    FakeNode first(ended_after(2, code)), second(testing::sampled());
    const auto client = ResumingClient::connect({first.endpoint(), second.endpoint()});
    const Result<wire::Done> done = (*client)->generate(ask(), {}, kTimeout);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, code);
    EXPECT_EQ((*client)->n_resumed(), 0);
  }
}

TEST(ResumingClient, RefusesEndpointsThatAreNone) {
  EXPECT_FALSE(ResumingClient::connect({}));
  EXPECT_FALSE(ResumingClient::connect({"tcp://127.0.0.1:5555", "nonsense"}));
}

}  // namespace
}  // namespace lockstep
