// CacheModel: sequences of several tenants begin, share, publish and end at random in the real pool
// and cache. A naive model computes what each tenant may take and what must be found. Every
// invariant is checked on the way.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "tests/support/random.h"
#include "tests/unit/kv/cached_pool.h"

namespace lockstep::testing {

class CacheModel {
 public:
  static constexpr int32_t kBlocks = 40, kBlockSize = 2, kTenants = 4;

  CacheModel(uint64_t seed, EvictionPolicy policy)
      : random_(seed), limits_(any_limits()), pool_(kBlocks, kBlockSize, policy, limits_) {}
  ~CacheModel() {
    while (!held_.empty()) end(held_.size() - 1);
  }

  void step(int64_t n) {
    pool_.cache.advance(Clock::TimePoint() + std::chrono::seconds(n));
    if (held_.empty() || random_.chance(0.55)) {
      try_begin(n);
    } else {
      end(index(held_.size()));
    }
    ASSERT_EQ(pool().check_invariants(true), 0);
    ASSERT_EQ(pool_.cache.check_invariants(), 0);
    check_limits();
  }

 private:
  struct Held {
    HeldSequence sequence;
    int32_t tenant = 0;
  };

  std::vector<TenantConfig> any_limits() {
    std::vector<TenantConfig> limits(kTenants);
    for (TenantConfig& tenant : limits) {
      tenant.floor = static_cast<int32_t>(random_.integer(0, kBlocks / kTenants));
      if (random_.chance(0.5)) {
        tenant.ceiling = static_cast<int32_t>(random_.integer(std::max(1, tenant.floor), kBlocks));
      }
    }
    return limits;
  }
  size_t index(size_t n) { return static_cast<size_t>(random_.integer(0, int64_t(n) - 1)); }

  // Two token values only, so that many prefixes are shared.
  Tokens any_tokens() {
    Tokens tokens(static_cast<size_t>(random_.integer(1, 8) * kBlockSize));
    for (int32_t& token : tokens) token = random_.chance(0.8) ? 1 : 2;
    return tokens;
  }

  // Applies the rule to the states of the blocks, without the ledger's sums.
  bool may_take(int32_t tenant, int32_t n) const {
    std::vector<int32_t> used(kTenants, 0);
    for (int32_t i = 0; i < kBlocks; ++i) {
      const BlockId id{i};
      if (pool().state(id) == BlockState::kActive) ++used[static_cast<size_t>(pool().owner(id))];
    }
    used[static_cast<size_t>(tenant)] += n;
    int32_t n_committed = 0;
    for (size_t t = 0; t < used.size(); ++t) {
      if (limits_[t].ceiling > 0 && used[t] > limits_[t].ceiling) return false;
      n_committed += std::max(used[t], limits_[t].floor);
    }
    return n_committed <= kBlocks;
  }

  void try_begin(int64_t n) {
    const Tokens tokens = any_tokens();
    const auto tenant = static_cast<int32_t>(random_.integer(0, kTenants - 1));
    const auto n_all = static_cast<int32_t>(tokens.size()) / kBlockSize;
    const std::vector<BlockId> entries =
        pool_.match(tokens, static_cast<int32_t>(tokens.size())).entries;
    check_match(tokens, entries);
    const int32_t n_new =
        n_all - static_cast<int32_t>(entries.size()) + pool_.cache.n_cached_of(entries);
    ASSERT_EQ(pool().can_reserve(n_new, tenant), may_take(tenant, n_new));
    if (!pool().can_reserve(n_new, tenant)) return;
    Retention retention;
    if (random_.chance(0.5)) {
      retention = {.priority = static_cast<int32_t>(random_.integer(0, 100)),
                   .until = Clock::TimePoint() + std::chrono::seconds(n + random_.integer(-5, 50))};
    }
    const std::set<int32_t> safe = protected_from(tenant);
    const std::map<int32_t, int32_t> cached_before = n_cached();
    held_.push_back({pool_.begin(tokens, {}, tenant, retention), tenant});
    for (int32_t other : safe) {
      // Protected tenants lose cached blocks by sharing at most, never by eviction.
      const int32_t n_lost = cached_before.at(other) - pool().ledger().n_cached(other);
      ASSERT_LE(n_lost, static_cast<int32_t>(entries.size()));
    }
    // The tokens of a sequence that just began and published are found in whole.
    ASSERT_EQ(pool_.n_found(tokens), static_cast<size_t>(n_all));
    known_[tokens] = n;
  }

  // A match has only entries of published prefixes, each the child of the one before it.
  void check_match(const Tokens& tokens, const std::vector<BlockId>& entries) {
    for (size_t b = 0; b < entries.size(); ++b) {
      const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(b * kBlockSize);
      ASSERT_TRUE(
          std::equal(begin, begin + kBlockSize, pool_.cache.index().tokens(entries[b]).begin()));
      ASSERT_EQ(pool_.cache.index().parent(entries[b]),
                b == 0 ? PrefixIndex::kNone : entries[b - 1]);
    }
    const Tokens prefix(tokens.begin(),
                        tokens.begin() + static_cast<std::ptrdiff_t>(entries.size() * kBlockSize));
    const bool is_known = prefix.empty() || std::ranges::any_of(known_, [&](const auto& known) {
                            return known.first.size() >= prefix.size() &&
                                   std::equal(prefix.begin(), prefix.end(), known.first.begin());
                          });
    ASSERT_TRUE(is_known);
  }

  // The tenants whose blocks may not be evicted for the taker.
  std::set<int32_t> protected_from(int32_t taker) const {
    std::set<int32_t> safe;
    for (int32_t t = 0; t < kTenants; ++t) {
      const TenantLedger& ledger = pool().ledger();
      const int32_t n_held = ledger.n_used(t) + ledger.n_cached(t);
      if (t != taker && n_held <= limits_[static_cast<size_t>(t)].floor) safe.insert(t);
    }
    return safe;
  }
  std::map<int32_t, int32_t> n_cached() const {
    std::map<int32_t, int32_t> n;
    for (int32_t t = 0; t < kTenants; ++t) n[t] = pool().ledger().n_cached(t);
    return n;
  }
  void check_limits() {
    for (int32_t t = 0; t < kTenants; ++t) {
      ASSERT_EQ(pool().can_reserve(1, t), may_take(t, 1));
    }
  }
  void end(size_t i) {
    pool_.end(held_[i].sequence);
    std::swap(held_[i], held_.back());
    held_.pop_back();
  }
  const BlockPool& pool() const { return pool_.pool; }
  BlockPool& pool() { return pool_.pool; }

  SeededRandom random_;
  const std::vector<TenantConfig> limits_;
  CachedPool pool_;
  std::vector<Held> held_;
  std::map<Tokens, int64_t> known_;  // every prefix that was computed
};

// Runs n operations, with new limits every thousand of them.
inline void run_cache_model(uint64_t first_seed, int64_t n_operations) {
  constexpr int64_t kPerRun = 1000;
  constexpr EvictionPolicy kPolicies[] = {EvictionPolicy::kLru, EvictionPolicy::kGdsf,
                                          EvictionPolicy::kPriority};
  for (int64_t run = 0; run * kPerRun < n_operations; ++run) {
    const uint64_t seed = first_seed + static_cast<uint64_t>(run);
    CacheModel model(seed, kPolicies[run % 3]);
    for (int64_t n = 0; n < kPerRun; ++n) {
      model.step(n);
      if (::testing::Test::HasFatalFailure()) {
        FAIL() << "seed " << seed << ", operation " << n;
      }
    }
  }
}

}  // namespace lockstep::testing
