#include "coordinator/route/router.h"

#include <algorithm>
#include <string>

namespace lockstep {
namespace {

using Candidates = std::vector<RouteCandidate>;

// Compares the loads relative to capacity, without dividing.
bool is_less_loaded(const RouteCandidate& a, const RouteCandidate& b) {
  return a.n_sequences * std::max<int64_t>(b.capacity, 1) <
         b.n_sequences * std::max<int64_t>(a.capacity, 1);
}

// The candidates in round-robin order: those after `last` first.
Candidates rotated(const Candidates& candidates, std::optional<NodeId> last) {
  Candidates out = candidates;
  if (!last) return out;
  const auto next = std::find_if(out.begin(), out.end(),
                                 [&](const RouteCandidate& c) { return raw(c.node) > raw(*last); });
  std::rotate(out.begin(), next, out.end());
  return out;
}

}  // namespace

Result<RoutingPolicy> routing_policy_from_string(std::string_view name) {
  if (name == "round-robin") return RoutingPolicy::kRoundRobin;
  if (name == "least-load") return RoutingPolicy::kLeastLoad;
  return Error{ErrorCode::kInvalidRequest,
               "policy must be round-robin or least-load, got '" + std::string(name) + "'",
               "policy"};
}

std::optional<NodeId> Router::pick(const RouteKey& key, const Candidates& candidates) {
  if (candidates.empty()) return std::nullopt;
  const auto last = last_.find(key);
  const Candidates order =
      rotated(candidates, last == last_.end() ? std::nullopt : std::optional(last->second));
  // min_element returns the first of equal candidates, so that an idle cluster is used in turn.
  const auto chosen = policy_ == RoutingPolicy::kRoundRobin
                          ? order.begin()
                          : std::min_element(order.begin(), order.end(), is_less_loaded);
  last_.insert_or_assign(key, chosen->node);
  return chosen->node;
}

}  // namespace lockstep
