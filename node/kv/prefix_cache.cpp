#include "node/kv/prefix_cache.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/fault_points.h"

namespace lockstep {
PrefixCache::PrefixCache(KvPools& pools, int32_t block_size, bool enabled, EvictionPolicy policy)
    : pools_(pools),
      block_size_(block_size),
      enabled_(enabled),
      index_(enabled ? pools.front().n_blocks_total() : 0, block_size,
             static_cast<int>(pools.size())),
      queue_(policy, index_.n_blocks(), pools.front().ledger().n_tenants()),
      blocks_(pools.size()) {
  for (const BlockPool& pool : pools_) {
    CHECK_EQ(pool.n_blocks_total(), pools_.front().n_blocks_total());
  }
  pools_.front().watch(this);
}

PrefixCache::~PrefixCache() { pools_.front().watch(nullptr); }

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
  out.nodes.clear();
  match_blocks(hashes, tokens, max_tokens / block_size_,
               [&](BlockId node) { out.nodes.push_back(node); });
  out.host.clear();
  const auto n_nodes = static_cast<int32_t>(out.nodes.size());
  const BlockId last = out.nodes.empty() ? PrefixIndex::kNone : out.nodes.back();
  if (tier_ != nullptr) {
    tier_->match(hashes, tokens, n_nodes, max_tokens / block_size_, last, out.host);
  }
  const int32_t n_matched = n_nodes * block_size_;
  if (hashes.root == 0 || n_matched >= max_tokens) return;
  const std::span<const int32_t> rest =
      tokens.subspan(static_cast<size_t>(n_matched), static_cast<size_t>(max_tokens - n_matched));
  const PrefixIndex::Partial partial = index_.find_partial(hashes.key, last, rest);
  out.partial = partial.node;
  out.n_partial = partial.n_tokens;
}

int32_t PrefixCache::n_cached_of(std::span<const BlockId> nodes, int group) const {
  const BlockPool& pool = pools_[static_cast<size_t>(group)];
  return static_cast<int32_t>(std::ranges::count_if(nodes, [&](BlockId node) {
    return pool.state(index_.block_of_group(node, group)) == BlockState::kCached;
  }));
}

std::vector<BlockRef> PrefixCache::share(std::span<const BlockId> nodes, int group,
                                         int32_t tenant) {
  std::vector<BlockRef> blocks;
  blocks.reserve(nodes.size());
  for (BlockId node : nodes) {
    blocks.push_back(share_partial(node, group, tenant));
  }
  return blocks;
}

BlockRef PrefixCache::share_partial(BlockId node, int group, int32_t tenant) {
  return pools_[static_cast<size_t>(group)].share(index_.block_of_group(node, group), tenant);
}

PrefixChain PrefixCache::start_chain(const PrefixHashes& hashes, std::span<const BlockId> nodes,
                                     int32_t max_blocks, int32_t tenant,
                                     const Retention& retention) {
  PrefixChain chain;
  if (!enabled_) return chain;
  chain.publishes_ = true;
  chain.key_ = hashes.key;
  chain.hash_ = nodes.empty() ? hashes.root : hashes.blocks[nodes.size() - 1];
  chain.n_groups_ = pools_.size();
  chain.tenant_ = tenant;
  chain.retention_ = retention;
  chain.refs_.reserve(static_cast<size_t>(max_blocks) * pools_.size());
  for (BlockId node : nodes) pass(node, chain);
  return chain;
}

void PrefixCache::publish(PrefixChain& chain, std::span<const int32_t> tokens, int32_t n_tokens,
                          std::span<const std::span<const BlockId>> tables) {
  for (int32_t b = chain.n_blocks(); chain.publishes_ && (b + 1) * block_size_ <= n_tokens; ++b) {
    const std::span<const int32_t> block_tokens = block_of(tokens, b, block_size_);
    const BlockId parent =
        b == 0 ? PrefixIndex::kNone : chain.refs_[chain.refs_.size() - chain.n_groups_].id();
    chain.hash_ = prefix_hash(chain.hash_, block_tokens);
    const int32_t root = index_.root_of(chain.key_);
    const BlockId known =
        root < 0 ? PrefixIndex::kNone : index_.find(root, parent, chain.hash_, block_tokens);
    if (known == PrefixIndex::kNone && !index_.has_room(chain.hash_)) {
      ++n_not_indexed_;
      chain.publishes_ = false;
    } else if (known == PrefixIndex::kNone) {
      for (size_t g = 0; g < pools_.size(); ++g) {
        blocks_[g] = tables[g][static_cast<size_t>(b)];
        pools_[g].keep(blocks_[g]);
      }
      index_.insert(chain.key_, parent, chain.hash_, block_tokens, blocks_);
      if (tier_ != nullptr) tier_->stored(index_, blocks_.front());
      queue_.enter(blocks_.front(), int64_t{b} * block_size_, block_size_);
      pass(blocks_.front(), chain);
    } else if (can_share(known, chain.tenant_)) {
      pass(known, chain);
    } else {
      chain.publishes_ = false;
    }
  }
}

void PrefixCache::pass(BlockId node, PrefixChain& chain) {
  queue_.use(node, chain.retention_);
  for (size_t g = 0; g < pools_.size(); ++g) {
    chain.refs_.push_back(share_partial(node, static_cast<int>(g), chain.tenant_));
  }
}

bool PrefixCache::can_share(BlockId node, int32_t tenant) const {
  for (size_t g = 0; g < pools_.size(); ++g) {
    const BlockState state = pools_[g].state(index_.block_of_group(node, static_cast<int>(g)));
    if (state != BlockState::kCached) continue;
    if (fault(Fault::kAllocatorRefuses) || !pools_[g].can_reserve(1, tenant)) return false;
  }
  return true;
}

void PrefixCache::end_chain(PrefixChain& chain) {
  while (!chain.refs_.empty()) chain.refs_.pop_back();
  chain.publishes_ = false;
}

// A node's blocks are referenced together in every group, the one in group 0 to the last.
void PrefixCache::on_cached(BlockId node) {
  queue_.release(node, pools_.front().owner(node), !index_.has_children(node));
}

void PrefixCache::on_shared(BlockId node) { queue_.reference(node); }

void PrefixCache::make_room(std::span<const int32_t> n_blocks, int32_t tenant) {
  for (size_t g = 0; g < pools_.size(); ++g) {
    while (pools_[g].n_blocks_free() < n_blocks[g]) {
      const BlockId victim = choose_victim(g, tenant);
      spill(victim);
      evict(victim);
      ++n_evicted_;
    }
  }
}

// Always there (tenant_ledger.h); what is left to settle is that it has no children.
BlockId PrefixCache::choose_victim(size_t group, int32_t taker) {
  const TenantLedger& ledger = pools_[group].ledger();
  if (ledger.is_over_ceiling(taker) && ledger.n_cached(taker) > 0) return first_of(taker);
  BlockId leaf = PrefixIndex::kNone, other = PrefixIndex::kNone;
  for (int32_t t = 0; t < ledger.n_tenants(); ++t) {
    if (!ledger.may_evict(t, taker)) continue;
    const BlockId first = queue_.first_leaf(t);
    if (first == PrefixIndex::kNone) {
      if (ledger.n_cached(t) > 0) other = queue_.first_interior(t);
    } else if (leaf == PrefixIndex::kNone || queue_.goes_before(first, leaf)) {
      leaf = first;
    }
  }
  return leaf == PrefixIndex::kNone ? leaf_in_place_of(other) : leaf;
}

BlockId PrefixCache::first_of(int32_t tenant) {
  const BlockId leaf = queue_.first_leaf(tenant);
  return leaf == PrefixIndex::kNone ? leaf_in_place_of(queue_.first_interior(tenant)) : leaf;
}

// A node that would go, had it no children: what comes after it belongs to others, whose blocks may
// not go. One of those goes nevertheless, without children, and its tenant is given this node,
// which its prefix begins with, so that it holds as much as before.
BlockId PrefixCache::leaf_in_place_of(BlockId node) {
  CHECK(node != PrefixIndex::kNone);
  BlockId leaf = node;
  while (index_.has_children(leaf)) leaf = index_.newest_child(leaf);
  for (size_t g = 0; g < pools_.size(); ++g) {
    const int group = static_cast<int>(g);
    pools_[g].swap_owners(index_.block_of_group(node, group), index_.block_of_group(leaf, group));
  }
  for (BlockId moved : {node, leaf}) queue_.move(moved, pools_.front().owner(moved));
  return leaf;
}

void PrefixCache::spill(BlockId leaf) {
  if (tier_ == nullptr) return;
  for (size_t g = 0; g < pools_.size(); ++g) {
    blocks_[g] = index_.block_of_group(leaf, static_cast<int>(g));
  }
  tier_->evicted(index_, leaf, pools_.front().owner(leaf), blocks_);
}

void PrefixCache::evict(BlockId leaf) {
  for (size_t g = 0; g < pools_.size(); ++g) {
    blocks_[g] = index_.block_of_group(leaf, static_cast<int>(g));
  }
  const BlockId parent = index_.parent(leaf);
  index_.remove(leaf);
  queue_.evict(leaf);
  for (size_t g = 0; g < pools_.size(); ++g) pools_[g].evict(blocks_[g]);
  if (parent == PrefixIndex::kNone || index_.has_children(parent)) return;
  if (queue_.is_queued(parent)) queue_.become_leaf(parent);
}

// From each leaf towards its root, as far as nobody needs the node.
int32_t PrefixCache::clear(const std::function<bool(BlockId node)>& wanted) {
  int32_t n_cleared = 0;
  for (int32_t i = 0; i < index_.n_blocks(); ++i) {
    for (BlockId node{i}; node != PrefixIndex::kNone && queue_.is_leaf(node); ++n_cleared) {
      if (wanted && !wanted(node)) break;
      const BlockId parent = index_.parent(node);
      evict(node);
      node = parent;
    }
  }
  return n_cleared;
}

int PrefixCache::check_invariants() const {
  if (const int rule = index_.check_invariants()) return rule;
  std::vector<std::vector<bool>> indexed(pools_.size());
  for (size_t g = 0; g < pools_.size(); ++g) {
    indexed[g].resize(static_cast<size_t>(pools_[g].n_blocks_total()));
  }
  if (enabled_) {
    for (int32_t i = 0; i < pools_.front().n_blocks_total(); ++i) {
      if (!index_.contains(BlockId{i})) continue;
      for (size_t g = 0; g < pools_.size(); ++g) {
        const BlockId block = index_.block_of_group(BlockId{i}, static_cast<int>(g));
        indexed[g][static_cast<size_t>(raw(block))] = true;
      }
    }
  }
  for (size_t g = 0; g < pools_.size(); ++g) {
    for (int32_t i = 0; i < pools_[g].n_blocks_total(); ++i) {
      if (pools_[g].is_kept(BlockId{i}) != indexed[g][static_cast<size_t>(i)]) return 3;
    }
  }
  return check_queue();
}

int PrefixCache::check_queue() const {
  const BlockPool& pool = pools_.front();
  for (int32_t i = 0; i < index_.n_blocks(); ++i) {
    const BlockId node{i};
    if (!index_.contains(node)) {
      if (queue_.is_queued(node)) return 5;
      continue;
    }
    const BlockId parent = index_.parent(node);
    const bool is_cached = pool.state(node) == BlockState::kCached;
    if (!is_cached && parent != PrefixIndex::kNone && pool.n_refs(parent) == 0) return 4;
    if (queue_.is_queued(node) != is_cached) return 5;
    if (!is_cached) continue;
    if (queue_.is_leaf(node) == index_.has_children(node)) return 5;
    if (queue_.tenant(node) != pool.owner(node)) return 5;
  }
  return 0;
}

}  // namespace lockstep
