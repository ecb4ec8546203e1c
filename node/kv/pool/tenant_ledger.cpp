#include "node/kv/pool/tenant_ledger.h"

#include "common/check.h"
#include "common/load_error.h"
#include "common/log.h"

namespace lockstep {

TenantLedger::TenantLedger(int32_t n_total, std::span<const TenantConfig> tenants)
    : n_total_(n_total) {
  int64_t n_floors = 0;
  for (const TenantConfig& tenant : tenants) {
    const int32_t ceiling = tenant.ceiling > 0 ? std::min(tenant.ceiling, n_total) : n_total;
    if (tenant.floor < 0 || tenant.floor > ceiling) {
      throw LoadError(str("tenant ", tenant.name, ": a floor of ", tenant.floor,
                          " blocks, but it can hold ", ceiling));
    }
    accounts_.push_back({.floor = tenant.floor, .ceiling = ceiling});
    n_floors += tenant.floor;
  }
  if (accounts_.empty()) accounts_.push_back({.ceiling = n_total});
  if (n_floors > n_total) {
    throw LoadError(
        str("the tenants' floors sum to ", n_floors, " blocks, but the pool has ", n_total));
  }
  n_committed_ = static_cast<int32_t>(n_floors);
}

int32_t TenantLedger::n_available(int32_t tenant) const {
  const Account& a = account(tenant);
  const int32_t n_uncommitted = n_total_ - n_committed_ + a.committed() - a.used;
  return std::min(a.ceiling - a.used, n_uncommitted);
}

int32_t TenantLedger::n_usable(int32_t tenant) const {
  int32_t n_others = 0;
  for (const Account& a : accounts_) n_others += a.floor;
  return std::min(account(tenant).ceiling, n_total_ - (n_others - account(tenant).floor));
}

bool TenantLedger::makes_way(int32_t owner, int32_t taker) const {
  return owner == taker || (n_below_ceiling(taker) > 0 && n_used(owner) > account(owner).floor);
}

void TenantLedger::take(int32_t tenant, int32_t n) {
  CHECK(n <= n_available(tenant));
  Account& a = account(tenant);
  const int32_t before = a.committed();
  a.used += n;
  n_committed_ += a.committed() - before;
}

void TenantLedger::give_back(int32_t tenant, int32_t n) {
  Account& a = account(tenant);
  const int32_t before = a.committed();
  a.used -= n;
  n_committed_ += a.committed() - before;
}

bool TenantLedger::may_evict(int32_t owner, int32_t taker) const {
  const Account& a = account(owner);
  return owner == taker || a.used + a.cached > a.floor;
}

bool TenantLedger::is_over_ceiling(int32_t tenant) const {
  const Account& a = account(tenant);
  return a.used + a.cached > a.ceiling;
}

int TenantLedger::check_invariants() const {
  int64_t n_committed = 0;
  for (const Account& a : accounts_) {
    if (a.used < 0 || a.cached < 0 || a.used > a.ceiling) return 1;
    n_committed += a.committed();
  }
  return n_committed == n_committed_ && n_committed <= n_total_ ? 0 : 2;
}

}  // namespace lockstep
