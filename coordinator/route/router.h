// Router: which node gets a request. Policies over the candidates that could take it; pure but for
// where the round robin stands, which is kept for each model and kind of request apart: what others
// ask for does not move it. I/O thread only.
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
  // Choices that this node runs or queues, as far as known: other coordinators' by its last
  // heartbeat, ours as dispatched, so that a burst between heartbeats spreads.
  int64_t n_sequences = 0;
  int64_t capacity = 1;  // max_num_seqs
};

enum class RouteKind { kGenerate, kTokenize, kDetokenize };

// Requests that take turns with each other.
struct RouteKey {
  std::string model;  // one that a node serves
  RouteKind kind = RouteKind::kGenerate;

  auto operator<=>(const RouteKey&) const = default;
};

class Router {
 public:
  explicit Router(RoutingPolicy policy) : policy_(policy) {}

  // Candidates in ascending order of node. nullopt when there is none.
  std::optional<NodeId> pick(const RouteKey& key, const std::vector<RouteCandidate>& candidates);

 private:
  const RoutingPolicy policy_;
  std::map<RouteKey, NodeId> last_;  // whom the key's last request went to
};

}  // namespace lockstep
