// TenantLedger: how many blocks of one pool each tenant holds, and how many more it may take. Knows
// counts only. Engine thread only.
//
// A block that is taken, out of a reservation or out of the cache, is charged to the tenant that
// took it. The block stays charged to that tenant while other tenants share it and when it is
// cached afterwards.
//
//   used[t]    active and reserved blocks of tenant t; floor and ceiling limit these
//   cached[t]  blocks charged to t that have no reference
//
// Invariants (numbered as in docs/kv-cache.md and check_invariants()):
//   1. used[t] <= ceiling[t]
//   2. the sum of max(used[t], floor[t]) over all tenants <= n_total: blocks for every floor exist,
//      whether they are used or not
//
// Tenant t may take n more blocks exactly if both invariants hold afterwards.
//
// Theorem: while t has reserved blocks and no block is free, some cached block may be evicted for t
// under may_evict(). docs/kv-cache.md ("Tenants") has the proof.
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
  // Without `tenants` there is one tenant without limits. Throws LoadError naming the numbers if
  // the floors sum to more than n_total, or if a floor exceeds its ceiling.
  TenantLedger(int32_t n_total, std::span<const TenantConfig> tenants);

  int32_t n_total() const { return n_total_; }
  int32_t n_tenants() const { return static_cast<int32_t>(accounts_.size()); }
  int32_t n_used(int32_t tenant) const { return account(tenant).used; }
  int32_t n_cached(int32_t tenant) const { return account(tenant).cached; }
  // How many more blocks the tenant may take now.
  int32_t n_available(int32_t tenant) const;
  // How many more blocks the tenant's ceiling allows, whether the pool has them or not.
  int32_t n_below_ceiling(int32_t tenant) const { return account(tenant).ceiling - n_used(tenant); }
  // The most blocks that the tenant can ever use: the smaller of its ceiling and of what other
  // tenants' floors leave.
  int32_t n_usable(int32_t tenant) const;
  // Whether `taker` may take more blocks once `owner` uses fewer.
  bool makes_way(int32_t owner, int32_t taker) const;

  // Adds n used blocks (CHECKs that n_available() allows it), or subtracts them.
  void take(int32_t tenant, int32_t n);
  void give_back(int32_t tenant, int32_t n);
  // Adds n cached blocks; a negative n subtracts.
  void add_cached(int32_t tenant, int32_t n) { account(tenant).cached += n; }

  // Whether a cached block of `owner` may be evicted for a block that `taker` has reserved: always
  // if they are one tenant, otherwise while used[owner] + cached[owner] > floor[owner].
  bool may_evict(int32_t owner, int32_t taker) const;
  // Whether used + cached exceeds the ceiling. Such a tenant evicts its own cached blocks first.
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
