// Router: picks one of the candidate nodes by the routing policy. The only state is the round-robin
// position. Each pair of model and request kind has its own position, so that requests for other
// models do not move it. I/O thread only: the thread that owns all ZeroMQ sockets.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/result.h"

namespace lockstep {

enum class RoutingPolicy { kRoundRobin, kLeastLoad };

// "round-robin" or "least-load".
Result<RoutingPolicy> routing_policy_from_string(std::string_view name);

struct RouteCandidate {
  NodeId node{};
  // Choices that this node runs or queues, as far as known. Those of other coordinators come from
  // the node's last heartbeat. Those of this coordinator are counted at dispatch, so that a burst
  // between two heartbeats is spread.
  int64_t n_sequences = 0;
  int64_t capacity = 1;  // max_num_seqs
};

enum class RouteKind { kGenerate, kTokenize, kDetokenize };

// Requests with equal keys share one round-robin position.
struct RouteKey {
  std::string model;  // a model that some node serves
  RouteKind kind = RouteKind::kGenerate;

  auto operator<=>(const RouteKey&) const = default;
};

class Router {
 public:
  explicit Router(RoutingPolicy policy) : policy_(policy) {}

  // `candidates` are in ascending order of node. Returns nullopt when there are none.
  std::optional<NodeId> pick(const RouteKey& key, const std::vector<RouteCandidate>& candidates);

 private:
  const RoutingPolicy policy_;
  std::map<RouteKey, NodeId> last_;  // node that got the key's last request
};

}  // namespace lockstep
