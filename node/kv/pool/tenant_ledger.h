// TenantLedger: how many blocks of one pool each tenant holds, and how many more it may take. Knows
// counts only. Engine thread only.
//
// A block that is taken, out of a promise or out of the cache, is charged to the tenant that took
// it; while others share it, and when it is cached afterwards, it stays charged to that one.
//
//   used[t]    active and reserved blocks of t; what the limits are about
//   cached[t]  blocks charged to t that nobody references
//
// Invariants (numbered as in docs/kv-cache.md):
//   1. used[t] <= ceiling[t]
//   2. the sum of max(used[t], floor[t]) over all tenants <= n_total: what a floor promises is
//      there, used or not
//   t may take n more blocks exactly if both hold afterwards.
//
// Evicting. A cached block of u goes for a block reserved to t != u only while used[u] + cached[u]
// > floor[u]; t's own go always. One that may go is always there: let no block be free. Then active
// and cached blocks sum to n_total. Were no cached block allowed to go, t would have none, and each
// other u either none, so active[u] + cached[u] <= used[u], or active[u] + cached[u] <= floor[u].
// So all of them would sum to at most (used[t] - reserved[t]) + sum over u != t of max(used[u],
// floor[u]) <= n_total - reserved[t] by 2, less than n_total, as t has a promise to take from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "node/kv/pool/tenant_config.h"

namespace lockstep {

class TenantLedger {
 public:
  // No tenants: one, without limits. Throws LoadError naming the numbers if the floors exceed the
  // pool, or a floor its ceiling.
  TenantLedger(int32_t n_total, std::span<const TenantConfig> tenants);

  int32_t n_total() const { return n_total_; }
  int32_t n_tenants() const { return static_cast<int32_t>(accounts_.size()); }
  int32_t n_used(int32_t tenant) const { return account(tenant).used; }
  int32_t n_cached(int32_t tenant) const { return account(tenant).cached; }
  // How many more blocks it may take.
  int32_t n_available(int32_t tenant) const;
  // How many it may take before it reaches its ceiling, there or not.
  int32_t n_below_ceiling(int32_t tenant) const { return account(tenant).ceiling - n_used(tenant); }
  // The most that it can ever have: its ceiling, and what other tenants' floors leave.
  int32_t n_usable(int32_t tenant) const;
  // Whether fewer used blocks of `owner` let `taker` take more.
  bool makes_way(int32_t owner, int32_t taker) const;

  // Used blocks of a tenant: more of them, fewer.
  void take(int32_t tenant, int32_t n);
  void give_back(int32_t tenant, int32_t n);
  // Cached ones.
  void add_cached(int32_t tenant, int32_t n) { account(tenant).cached += n; }

  // Whether a cached block of `owner` may go for one that `taker` was reserved.
  bool may_evict(int32_t owner, int32_t taker) const;
  // Such a tenant makes room for itself with its own cached blocks.
  bool is_over_ceiling(int32_t tenant) const;

  // The number of the first invariant that does not hold, or 0.
  int check_invariants() const;

 private:
  struct Account {
    int32_t floor = 0, ceiling = 0;  // constant
    int32_t used = 0, cached = 0;
    int32_t committed() const { return std::max(used, floor); }
  };
  Account& account(int32_t tenant) { return accounts_[static_cast<size_t>(tenant)]; }
  const Account& account(int32_t tenant) const { return accounts_[static_cast<size_t>(tenant)]; }

  int32_t n_total_;
  int32_t n_committed_ = 0;  // the sum of invariant 2
  std::vector<Account> accounts_;
};

}  // namespace lockstep
