// RoutingPolicy: how the coordinator picks the node that gets a generation request. docs/routing.md
// compares the policies. Values only.
#pragma once

#include <string_view>

#include "common/result.h"

namespace lockstep {

enum class RoutingPolicy {
  kCost,        // the node where the request and its neighbours lose the least time
  kLeastLoad,   // the node with the fewest sequences for its capacity
  kPowerOfTwo,  // the less loaded of two random nodes
  kRoundRobin,  // the nodes in turn
  kSession,     // the same node for all requests of a session
};

// "cost", "least-load", "p2c", "round-robin" or "session".
Result<RoutingPolicy> routing_policy_from_string(std::string_view name);
std::string_view to_string(RoutingPolicy policy);

}  // namespace lockstep
