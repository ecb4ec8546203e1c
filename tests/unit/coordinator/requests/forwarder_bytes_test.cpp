// Forwarder: the bytes that requests hold of the budget while they are at a node.
#include "tests/unit/coordinator/forwarder_harness.h"
#include "wire/codec/sendable.h"
#include "wire/limits.h"

namespace lockstep::testing {
namespace {

class ForwarderBytes : public ForwarderTest {
 protected:
  // A budget for exactly `n_requests` requests of generate(), without a spare byte.
  void make_budget(size_t n_requests) {
    node_is_ready(0);
    wire::Generate seeded = generate(std::string(wire::kMaxRequestIdBytes, 'r'));
    seeded.seed = kSeed;
    n_bytes_ = wire::encoded_size(seeded).n_bytes - 1;  // its length takes one more
    budget_ = std::make_shared<ByteBudget>(n_requests * n_bytes_);
    make({.seed = kSeed, .bytes = budget_, .request_timeout = milliseconds(1000)});
  }
  static constexpr uint64_t kSeed = 7;
  size_t n_bytes_ = 0;
  std::shared_ptr<ByteBudget> budget_;
};

TEST_F(ForwarderBytes, BytesInFlightHaveABudget) {
  make_budget(2);
  forwarder_->submit(client(), generate("a"));
  forwarder_->submit(client(), generate("b"));
  EXPECT_EQ(budget_->n_bytes_held(), 2 * n_bytes_) << "counted exactly";
  forwarder_->submit(client(), generate("c"));
  EXPECT_EQ(only_error().code, ErrorCode::kOverloaded);
  EXPECT_NE(only_error().message.find(std::to_string(2 * n_bytes_)), std::string::npos);
  EXPECT_EQ(links_.all<wire::Generate>().size(), 2u);
}

TEST_F(ForwarderBytes, WhatTheBudgetCanNeverHoldIsTooLarge) {
  make_budget(1);
  wire::Generate request = generate();
  request.prompt_text = "Hi and more";
  forwarder_->submit(client(), request);
  EXPECT_EQ(only_error().code, ErrorCode::kPayloadTooLarge);
}

// The bytes are returned for every way in which a request can end.
TEST_F(ForwarderBytes, EveryEndGivesItsBytesBack) {
  make_budget(1);
  const std::vector<std::pair<const char*, std::function<void()>>> ends = {
      {"done", [&] { done(); }},
      {"error",
       [&] {
         forwarder_->on_node_message(NodeId{0},
                                     wire::ErrorReply{upstream(), ErrorCode::kInternal, "", ""});
       }},
      {"unreadable", [&] { forwarder_->on_unreadable(NodeId{0}, upstream(), Error{}); }},
      {"client gone", [&] { forwarder_->drop_client("c"); }},
      {"a gap", [&] { tokens({1}, 5); }},
      {"node lost", [&] { forwarder_->on_node_lost(NodeId{0}); }},
      {"timeout",
       [&] {
         clock_.advance(milliseconds(1001));
         forwarder_->tick();
       }},
      {"shutdown", [&] { forwarder_->end_everything(); }},
  };
  for (const auto& [name, end] : ends) {
    links_.sent.clear();
    forwarder_->submit(client(), generate());
    EXPECT_EQ(budget_->n_bytes_held(), n_bytes_) << name;
    end();
    EXPECT_EQ(budget_->n_bytes_held(), 0u) << name;
    EXPECT_EQ(forwarder_->n_inflight(), 0u) << name;
  }
}

TEST_F(ForwarderBytes, WhatIsRefusedHoldsNothing) {
  make_budget(1);
  links_.cut_off[0] = true;
  forwarder_->submit(client(), generate());
  EXPECT_EQ(only_error().code, ErrorCode::kNoNodeReady);
  EXPECT_EQ(budget_->n_bytes_held(), 0u);
}

}  // namespace
}  // namespace lockstep::testing
