// TenantConfig: what one tenant may hold of every KV pool, and its share of a busy node. Plain
// data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep {

// The tenant of a request that names none; always the first.
inline constexpr std::string_view kDefaultTenant = "default";

struct TenantConfig {
  std::string name = {};
  int32_t floor = 0;    // blocks that no other tenant's requests can take from it
  int32_t ceiling = 0;  // blocks that it can hold; 0 = all
  int32_t weight = 1;   // of its prefill among other tenants'
};

}  // namespace lockstep
