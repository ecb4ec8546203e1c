// A Router over nodes of the test's making.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "coordinator/route/router.h"
#include "tests/support/fake_clock.h"

namespace lockstep::testing {

inline constexpr std::array kEndpoints = {"tcp://a:1", "tcp://b:1", "tcp://c:1", "tcp://d:1"};

inline RouteCandidate candidate(uint32_t node, int64_t n_sequences = 0, int64_t capacity = 16) {
  return {.node = NodeId{node},
          .endpoint = kEndpoints.at(node),
          .n_sequences = n_sequences,
          .capacity = capacity,
          .backend = "cpu",
          .step_times = std::nullopt,
          .n_blocks_free = 1000};
}

// What the test says the nodes have cached: [n_nodes] blocks of any prompt.
class FakePrefixes final : public CachedPrefixes {
 public:
  void match(std::span<const uint64_t> chain, std::span<uint32_t> n_blocks) const override {
    for (size_t i = 0; i < n_blocks.size(); ++i)
      n_blocks[i] = std::min(cached[i], static_cast<uint32_t>(chain.size()));
  }
  bool knows(NodeId node) const override { return raw(node) != unknown; }

  std::vector<uint32_t> cached = std::vector<uint32_t>(kEndpoints.size(), 0);
  uint32_t unknown = kEndpoints.size();  // the node that publishes no events
};

class RouterTest : public ::testing::Test {
 protected:
  void make(RoutingPolicy policy) {
    router_.emplace(
        RouterConfig{.policy = policy, .seed = 7},
        RouterParts{
            .n_nodes = kEndpoints.size(), .clock = clock_, .cached = &prefixes_, .log = &log_});
    request_ = {};
    request_.key.model = "m";
  }
  std::optional<NodeId> pick(std::vector<RouteCandidate> candidates) {
    candidates_ = std::move(candidates);
    return router_->pick(request_, candidates_);
  }
  const RouteDecision& sent(const std::string& request_id = "r") {
    return router_->sent(request_, candidates_,
                         {.request_id = request_id, .prompt = "", .attempt = 0});
  }

  FakeClock clock_;
  FakePrefixes prefixes_;
  RouteLog log_;
  std::optional<Router> router_;
  RouteRequest request_;
  std::vector<RouteCandidate> candidates_;  // of the last pick()
};

}  // namespace lockstep::testing
