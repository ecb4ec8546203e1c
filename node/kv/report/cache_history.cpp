#include "node/kv/report/cache_history.h"

#include <bit>

namespace lockstep {

CacheHistory::CacheHistory(int32_t n_blocks, const Clock& clock)
    : clock_(clock),
      uses_(static_cast<size_t>(n_blocks)),
      evictions_(std::bit_ceil(2 * static_cast<size_t>(n_blocks) + 1)) {}

void CacheHistory::used(BlockId entry, uint64_t hash) {
  EntryUse& known = uses_[static_cast<size_t>(raw(entry))];
  if (known.hash != hash) known = {hash, {}};
  ++known.use.n_hits;
  known.use.last = clock_.now();
}

CacheHistory::Use CacheHistory::use_of(BlockId entry, uint64_t hash) const {
  const EntryUse& known = uses_[static_cast<size_t>(raw(entry))];
  return known.hash == hash ? known.use : Use();
}

void CacheHistory::stored(const StoredBlock& block) {
  Eviction& entry = evictions_[block.hash & (evictions_.size() - 1)];
  if (!entry.is_known || entry.hash != block.hash) return;
  n_regret_tokens_ += block.tokens.size();
  entry.is_known = false;
}

void CacheHistory::forget_eviction(uint64_t hash) {
  Eviction& entry = evictions_[hash & (evictions_.size() - 1)];
  if (entry.hash == hash) entry.is_known = false;
}

void CacheHistory::removed(uint64_t hash) {
  evictions_[hash & (evictions_.size() - 1)] = {hash, clock_.now(), true};
}

std::optional<Clock::TimePoint> CacheHistory::evicted_at(uint64_t hash) const {
  const Eviction& entry = evictions_[hash & (evictions_.size() - 1)];
  if (!entry.is_known || entry.hash != hash) return std::nullopt;
  return entry.at;
}

}  // namespace lockstep
