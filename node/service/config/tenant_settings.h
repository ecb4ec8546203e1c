// The `tenants:` list of a node's settings, and the checked tenants that follow for a KV pool.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "node/kv/pool/tenant_config.h"

namespace lockstep {

struct TenantSetting {
  std::string where;  // place in the settings, for errors: "node.yaml:12"
  std::string name;
  int64_t floor = 0;
  int64_t ceiling = 0;
  int64_t weight = 1;

  template <class V>
  void visit_fields(V& v) {
    v(name, "name", "", "Name of the tenant, as requests give it.");
    v(floor, "floor", "blocks", "Number of KV blocks that no other tenant can take.");
    v(ceiling, "ceiling", "blocks",
      "Maximum number of KV blocks that the tenant can hold. 0 allows the whole pool.");
    v(weight, "weight", "", "Weight of the tenant's prefill among all tenants.");
  }
};

// Returns the tenant "default" first, with its given or its default values, then the others in
// their order. Throws LoadError, which names place, tenant and numbers.
std::vector<TenantConfig> resolve_tenants(const std::vector<TenantSetting>& settings,
                                          int32_t n_kv_blocks);

}  // namespace lockstep
