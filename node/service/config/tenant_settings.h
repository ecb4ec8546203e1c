// The `tenants:` list of a node's settings, and what it comes to for a pool.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "node/kv/pool/tenant_config.h"

namespace lockstep {

struct TenantSetting {
  std::string where;  // it was written, for errors: "node.yaml:12"
  std::string name;
  int64_t floor = 0;
  int64_t ceiling = 0;
  int64_t weight = 1;

  template <class V>
  void visit_fields(V& v) {
    v(name, "name", "", "as requests give it");
    v(floor, "floor", "blocks", "that no other tenant can take");
    v(ceiling, "ceiling", "blocks", "that it can hold; 0 = the pool");
    v(weight, "weight", "", "of its prefill among other tenants'");
  }
};

// "default" first, as it was given or as it is by default; the others in their order. Throws
// LoadError naming place, tenant and numbers.
std::vector<TenantConfig> resolve_tenants(const std::vector<TenantSetting>& settings,
                                          int32_t n_kv_blocks);

}  // namespace lockstep
