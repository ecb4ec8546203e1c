// PendingPrompts: the prompt tokens that each node has still to compute: those of its last
// heartbeat, less what it has computed since by its own step times, and those that this coordinator
// has sent since. I/O thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"

namespace lockstep {

class PendingPrompts {
 public:
  // A request that was sent so shortly before a heartbeat came is not counted in it yet.
  static constexpr std::chrono::milliseconds kOnTheWay{10};

  explicit PendingPrompts(size_t n_nodes) : nodes_(n_nodes) {}

  void on_sent(NodeId node, int64_t n_tokens, Clock::TimePoint now);
  // The node's heartbeat counts `n_pending` tokens.
  void on_heartbeat(NodeId node, int64_t n_pending, Clock::TimePoint now);
  void on_node_lost(NodeId node) { nodes_[raw(node)] = {}; }

  // `prompt_token_ms`: the node's time for a token.
  int64_t estimate(NodeId node, double prompt_token_ms, Clock::TimePoint now) const;

 private:
  struct Sent {
    Clock::TimePoint at;
    int64_t n_tokens = 0;
  };
  struct PerNode {
    int64_t n_reported = 0;
    Clock::TimePoint reported_at;
    std::deque<Sent> sent;  // not in n_reported, oldest first
    int64_t n_sent = 0;     // their sum
  };

  std::vector<PerNode> nodes_;  // [n_nodes]
};

}  // namespace lockstep
