#include "node/service/config/tenant_settings.h"

#include <algorithm>

#include "common/load_error.h"
#include "common/log.h"
#include "common/text/utf8.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

constexpr int64_t kMaxWeight = 1000;

[[noreturn]] void refuse(const TenantSetting& tenant, const std::string& problem) {
  const std::string name = tenant.name.substr(0, wire::kMaxTenantBytes);
  throw LoadError(str(tenant.where, ": tenant '", utf8::replace_invalid(name), "': ", problem));
}

void require(const TenantSetting& tenant, const char* field, int64_t value, int64_t low,
             int64_t high) {
  if (value >= low && value <= high) return;
  refuse(tenant, str(field, ": ", value, " is outside ", low, " to ", high));
}

TenantConfig resolve(const TenantSetting& tenant, int32_t n_kv_blocks) {
  if (tenant.name.empty() || tenant.name.size() > wire::kMaxTenantBytes) {
    refuse(tenant,
           str("a name has 1 to ", wire::kMaxTenantBytes, " bytes, not ", tenant.name.size()));
  }
  if (!utf8::is_valid(tenant.name)) refuse(tenant, "the name is not UTF-8");
  require(tenant, "floor", tenant.floor, 0, n_kv_blocks);
  require(tenant, "ceiling", tenant.ceiling, 0, n_kv_blocks);
  require(tenant, "weight", tenant.weight, 1, kMaxWeight);
  if (tenant.ceiling != 0 && tenant.floor > tenant.ceiling) {
    refuse(tenant, str("floor: ", tenant.floor, " is above ceiling: ", tenant.ceiling));
  }
  return {tenant.name, static_cast<int32_t>(tenant.floor), static_cast<int32_t>(tenant.ceiling),
          static_cast<int32_t>(tenant.weight)};
}

}  // namespace

std::vector<TenantConfig> resolve_tenants(const std::vector<TenantSetting>& settings,
                                          int32_t n_kv_blocks) {
  std::vector<TenantConfig> tenants = {{.name = std::string(kDefaultTenant)}};
  int64_t n_floor = 0;
  for (size_t i = 0; i < settings.size(); ++i) {
    const TenantSetting& setting = settings[i];
    const auto first = std::find_if(settings.begin(), settings.end(),
                                    [&](const auto& other) { return other.name == setting.name; });
    if (first != settings.begin() + static_cast<ptrdiff_t>(i)) {
      refuse(setting, "is given twice, first at " + first->where);
    }
    TenantConfig tenant = resolve(setting, n_kv_blocks);
    n_floor += tenant.floor;
    if (n_floor > n_kv_blocks) {
      refuse(setting,
             str("the floors up to here are ", n_floor, " blocks, the KV pool has ", n_kv_blocks));
    }
    if (tenant.name == kDefaultTenant) {
      tenants.front() = std::move(tenant);
    } else {
      tenants.push_back(std::move(tenant));
    }
  }
  return tenants;
}

}  // namespace lockstep
