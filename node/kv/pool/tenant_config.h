// TenantConfig: the limits of one tenant in every KV pool, and its share of prefill when tenants
// compete. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep {

// The tenant of a request that names none. It always has number 0.
inline constexpr std::string_view kDefaultTenant = "default";

struct TenantConfig {
  std::string name = {};
  int32_t floor = 0;    // blocks that no other tenant's requests can take from this tenant
  int32_t ceiling = 0;  // the most blocks that the tenant can use; 0 = all
  int32_t weight = 1;   // share of prefill, relative to other tenants' weights
};

}  // namespace lockstep
