#include "node/kv/prefix/prefix_cache.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/fault_points.h"

namespace lockstep {
PrefixCache::PrefixCache(BlockPool& pool, int32_t block_size, bool enabled, EvictionPolicy policy)
    : pool_(pool),
      block_size_(block_size),
      enabled_(enabled),
      index_(enabled ? pool.n_blocks_total() : 0, block_size),
      queue_(policy, index_.n_blocks(), pool.ledger().n_tenants()) {
  pool_.watch(this);
}

PrefixCache::~PrefixCache() { pool_.watch(nullptr); }

template <class Take>
void PrefixCache::match_blocks(const PrefixHashes& hashes, std::span<const int32_t> tokens,
                               int32_t max_blocks, const Take& take) const {
  const int32_t root = index_.root_of(hashes.key);
  if (root < 0) return;
  BlockId parent = PrefixIndex::kNone;
  const int32_t n = std::min(max_blocks, static_cast<int32_t>(hashes.blocks.size()));
  for (int32_t b = 0; b < n; ++b) {
    parent = index_.find(root, parent, hashes.blocks[static_cast<size_t>(b)],
                         block_of(tokens, b, block_size_));
    if (parent == PrefixIndex::kNone) return;
    take(parent);
  }
}

int32_t PrefixCache::n_blocks_found(const PrefixHashes& hashes, std::span<const int32_t> tokens,
                                    int32_t max_tokens) const {
  int32_t n = 0;
  match_blocks(hashes, tokens, max_tokens / block_size_, [&](BlockId) { ++n; });
  return n;
}

void PrefixCache::match(const PrefixHashes& hashes, std::span<const int32_t> tokens,
                        int32_t max_tokens, PrefixMatch& out) const {
  out.partial = PrefixIndex::kNone;
  out.n_partial = 0;
  ++n_matches_;
  out.entries.clear();
  match_blocks(hashes, tokens, max_tokens / block_size_,
               [&](BlockId entry) { out.entries.push_back(entry); });
  out.host.clear();
  const auto n_entries = static_cast<int32_t>(out.entries.size());
  const BlockId last = out.entries.empty() ? PrefixIndex::kNone : out.entries.back();
  if (tier_ != nullptr) {
    tier_->match(hashes, tokens, n_entries, max_tokens / block_size_, last, out.host);
  }
  const int32_t n_matched = n_entries * block_size_;
  if (hashes.root == 0 || n_matched >= max_tokens) return;
  const std::span<const int32_t> rest =
      tokens.subspan(static_cast<size_t>(n_matched), static_cast<size_t>(max_tokens - n_matched));
  const PrefixIndex::Partial partial = index_.find_partial(hashes.key, last, rest);
  out.partial = partial.entry;
  out.n_partial = partial.n_tokens;
}

int32_t PrefixCache::n_cached_of(std::span<const BlockId> entries) const {
  return static_cast<int32_t>(std::ranges::count_if(
      entries, [&](BlockId entry) { return pool_.state(entry) == BlockState::kCached; }));
}

std::vector<BlockRef> PrefixCache::share(std::span<const BlockId> entries, int32_t tenant) {
  std::vector<BlockRef> blocks;
  blocks.reserve(entries.size());
  for (BlockId entry : entries) blocks.push_back(pool_.share(entry, tenant));
  return blocks;
}

BlockRef PrefixCache::share_partial(BlockId entry, int32_t tenant) {
  return pool_.share(entry, tenant);
}

PrefixChain PrefixCache::start_chain(const PrefixHashes& hashes, std::span<const BlockId> entries,
                                     int32_t max_blocks, int32_t tenant,
                                     const Retention& retention) {
  PrefixChain chain;
  if (!enabled_) return chain;
  chain.publishes_ = true;
  chain.key_ = hashes.key;
  chain.hash_ = entries.empty() ? hashes.root : hashes.blocks[entries.size() - 1];
  chain.tenant_ = tenant;
  chain.retention_ = retention;
  chain.refs_.reserve(static_cast<size_t>(max_blocks));
  for (BlockId entry : entries) append_to_chain(entry, chain);
  return chain;
}

void PrefixCache::publish(PrefixChain& chain, std::span<const int32_t> tokens, int32_t n_tokens,
                          std::span<const BlockId> blocks) {
  for (int32_t b = chain.n_blocks(); chain.publishes_ && (b + 1) * block_size_ <= n_tokens; ++b) {
    const std::span<const int32_t> block_tokens = block_of(tokens, b, block_size_);
    const BlockId parent = b == 0 ? PrefixIndex::kNone : chain.refs_.back().id();
    chain.hash_ = prefix_hash(chain.hash_, block_tokens);
    const int32_t root = index_.root_of(chain.key_);
    const BlockId known =
        root < 0 ? PrefixIndex::kNone : index_.find(root, parent, chain.hash_, block_tokens);
    if (known == PrefixIndex::kNone && !index_.has_room(chain.hash_)) {
      ++n_not_indexed_;
      chain.publishes_ = false;
    } else if (known == PrefixIndex::kNone) {
      const BlockId own = blocks[static_cast<size_t>(b)];
      pool_.keep(own);
      index_.insert(chain.key_, parent, chain.hash_, block_tokens, own);
      if (tier_ != nullptr) tier_->stored(index_, own);
      queue_.enter(own, int64_t{b} * block_size_, block_size_);
      append_to_chain(own, chain);
    } else if (can_share(known, chain.tenant_)) {
      append_to_chain(known, chain);
    } else {
      chain.publishes_ = false;
    }
  }
}

void PrefixCache::append_to_chain(BlockId entry, PrefixChain& chain) {
  queue_.use(entry, chain.retention_);
  chain.refs_.push_back(pool_.share(entry, chain.tenant_));
}

bool PrefixCache::can_share(BlockId entry, int32_t tenant) const {
  if (pool_.state(entry) != BlockState::kCached) return true;
  return !fault(Fault::kAllocatorRefuses) && pool_.can_reserve(1, tenant);
}

void PrefixCache::end_chain(PrefixChain& chain) {
  while (!chain.refs_.empty()) chain.refs_.pop_back();
  chain.publishes_ = false;
}

void PrefixCache::on_cached(BlockId entry) {
  queue_.release(entry, pool_.owner(entry), !index_.has_children(entry));
}

void PrefixCache::on_shared(BlockId entry) { queue_.reference(entry); }

void PrefixCache::make_room(int32_t n_blocks, int32_t tenant) {
  while (pool_.n_blocks_free() < n_blocks) {
    const BlockId victim = choose_victim(tenant);
    if (tier_ != nullptr) tier_->evicted(index_, victim, pool_.owner(victim));
    evict(victim);
    ++n_evicted_;
  }
}

// A victim always exists (theorem in tenant_ledger.h), but it may have children.
BlockId PrefixCache::choose_victim(int32_t taker) {
  const TenantLedger& ledger = pool_.ledger();
  if (ledger.is_over_ceiling(taker) && ledger.n_cached(taker) > 0) return first_of(taker);
  BlockId victim = PrefixIndex::kNone, other = PrefixIndex::kNone;
  for (int32_t t = 0; t < ledger.n_tenants(); ++t) {
    if (!ledger.may_evict(t, taker)) continue;
    const BlockId first = queue_.first_childless(t);
    if (first == PrefixIndex::kNone) {
      if (ledger.n_cached(t) > 0) other = queue_.first_with_children(t);
    } else if (victim == PrefixIndex::kNone || queue_.goes_before(first, victim)) {
      victim = first;
    }
  }
  return victim == PrefixIndex::kNone ? childless_in_place_of(other) : victim;
}

BlockId PrefixCache::first_of(int32_t tenant) {
  const BlockId victim = queue_.first_childless(tenant);
  return victim == PrefixIndex::kNone ? childless_in_place_of(queue_.first_with_children(tenant))
                                      : victim;
}

// `entry` is next in order of eviction but has children, which are charged to tenants whose blocks
// may not be evicted. Returns a childless entry after it as the victim, and charges `entry` to the
// victim's tenant in exchange. That tenant holds as many blocks as before; `entry` is part of the
// victim's prefix.
BlockId PrefixCache::childless_in_place_of(BlockId entry) {
  CHECK(entry != PrefixIndex::kNone);
  BlockId victim = entry;
  while (index_.has_children(victim)) victim = index_.newest_child(victim);
  pool_.swap_owners(entry, victim);
  for (BlockId moved : {entry, victim}) queue_.move(moved, pool_.owner(moved));
  return victim;
}

void PrefixCache::evict(BlockId victim) {
  const BlockId parent = index_.parent(victim);
  index_.remove(victim);
  queue_.evict(victim);
  pool_.evict(victim);
  if (parent == PrefixIndex::kNone || index_.has_children(parent)) return;
  if (queue_.is_queued(parent)) queue_.become_childless(parent);
}

// Walks from each childless entry towards its root, until an entry stays.
int32_t PrefixCache::clear(const std::function<bool(BlockId entry)>& wanted) {
  int32_t n_cleared = 0;
  for (int32_t i = 0; i < index_.n_blocks(); ++i) {
    for (BlockId entry{i}; entry != PrefixIndex::kNone && queue_.is_childless(entry); ++n_cleared) {
      if (wanted && !wanted(entry)) break;
      const BlockId parent = index_.parent(entry);
      evict(entry);
      entry = parent;
    }
  }
  return n_cleared;
}

int PrefixCache::check_invariants() const {
  if (const int rule = index_.check_invariants()) return rule;
  for (int32_t i = 0; i < pool_.n_blocks_total(); ++i) {
    const bool is_indexed = enabled_ && index_.contains(BlockId{i});
    if (pool_.is_kept(BlockId{i}) != is_indexed) return 3;
  }
  return check_queue();
}

int PrefixCache::check_queue() const {
  for (int32_t i = 0; i < index_.n_blocks(); ++i) {
    const BlockId entry{i};
    if (!index_.contains(entry)) {
      if (queue_.is_queued(entry)) return 5;
      continue;
    }
    const BlockId parent = index_.parent(entry);
    const bool is_cached = pool_.state(entry) == BlockState::kCached;
    if (!is_cached && parent != PrefixIndex::kNone && pool_.n_refs(parent) == 0) return 4;
    if (queue_.is_queued(entry) != is_cached) return 5;
    if (!is_cached) continue;
    if (queue_.is_childless(entry) == index_.has_children(entry)) return 5;
    if (queue_.tenant(entry) != pool_.owner(entry)) return 5;
  }
  return 0;
}

}  // namespace lockstep
