#include "coordinator/route/routing_policy.h"

#include <array>
#include <string>
#include <utility>

namespace lockstep {
namespace {

constexpr std::array<std::pair<RoutingPolicy, std::string_view>, 5> kNames = {{
    {RoutingPolicy::kCost, "cost"},
    {RoutingPolicy::kLeastLoad, "least-load"},
    {RoutingPolicy::kPowerOfTwo, "p2c"},
    {RoutingPolicy::kRoundRobin, "round-robin"},
    {RoutingPolicy::kSession, "session"},
}};

}  // namespace

Result<RoutingPolicy> routing_policy_from_string(std::string_view name) {
  for (const auto& [policy, its_name] : kNames) {
    if (its_name == name) return policy;
  }
  return Error{ErrorCode::kInvalidRequest,
               "policy must be cost, least-load, p2c, round-robin or session, got '" +
                   std::string(name) + "'",
               "policy"};
}

std::string_view to_string(RoutingPolicy policy) {
  return kNames[static_cast<size_t>(policy)].second;
}

}  // namespace lockstep
