#include "node/kv/prefix/eviction_policy.h"

namespace lockstep {

std::string_view to_string(EvictionPolicy policy) {
  switch (policy) {
    case EvictionPolicy::kLru:
      return "lru";
    case EvictionPolicy::kGdsf:
      return "gdsf";
    case EvictionPolicy::kPriority:
      return "priority";
  }
  return "?";
}

std::optional<EvictionPolicy> parse_eviction_policy(std::string_view name) {
  for (auto policy : {EvictionPolicy::kLru, EvictionPolicy::kGdsf, EvictionPolicy::kPriority}) {
    if (name == to_string(policy)) return policy;
  }
  return std::nullopt;
}

}  // namespace lockstep
