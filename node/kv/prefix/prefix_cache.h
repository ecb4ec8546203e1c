// PrefixCache: the blocks that sequences leave behind, for others that begin alike. Binds the pools
// (whose block is it) to the index (what is in it): finds the longest cached prefix of a prompt,
// takes in blocks that are full and proven, and evicts the ones unused for longest when room is
// needed. Knows no bytes. Engine thread only.
//
// A sequence follows its own tokens down the trie with a PrefixChain, which holds references to
// every entry it has passed, and lets go of them end first after its tables are gone. So whoever
// references an entry references all that come before it, and behind an unreferenced entry nothing
// is referenced: as long as there are cached blocks, there are some without children, and evicting
// those never would leave a gap.
//
// Invariants (numbered as in docs/kv-cache.md and check_invariants()):
//   1, 2. the index's own
//   3. a block is kept by its pool exactly when the index has it, in every KV group
//   4. an entry that is referenced has a parent that is
//   5. the queue has exactly the entries that nobody references, as childless exactly those without
//      children, each for the tenant it is charged to
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/ids.h"
#include "node/kv/host/host_tier.h"
#include "node/kv/index/prefix_hashes.h"
#include "node/kv/index/prefix_index.h"
#include "node/kv/pool/block_pool.h"
#include "node/kv/prefix/eviction_queue.h"

namespace lockstep {

// What the cache has of a prompt: whole entries from the root on, then either blocks that host
// memory keeps and that go on from there, or an entry of which only the first n_partial tokens
// agree. The last two are worth a copy into blocks of the sequence's own.
struct PrefixMatch {
  std::vector<BlockId> entries;
  std::vector<HostBlockId> host;
  BlockId partial = PrefixIndex::kNone;
  int32_t n_partial = 0;  // tokens, less than a block; 0 exactly if there is no such entry
};

// The entries that one sequence's tokens have passed.
class PrefixChain {
 public:
  int32_t n_blocks() const { return static_cast<int32_t>(refs_.size() / n_groups_); }
  bool publishes() const { return publishes_; }
  std::span<const BlockRef> refs() const { return refs_; }  // [n_blocks, n_groups]

 private:
  friend class PrefixCache;
  int32_t tenant_ = 0;  // its references are charged to
  Retention retention_;
  bool publishes_ = false;  // takes part in the cache at all, and can still be followed
  PrefixKey key_;
  uint64_t hash_ = 0;  // of the last entry, or of the key
  size_t n_groups_ = 1;
  std::vector<BlockRef> refs_;  // of the entries from the root on; an entry is its block in group 0
};

class PrefixCache final : private CachedBlockWatcher {
 public:
  // The pools, one per KV group and equally large, must outlive it. Disabled, it finds and takes in
  // nothing.
  PrefixCache(KvPools& pools, int32_t block_size, bool enabled,
              EvictionPolicy policy = EvictionPolicy::kLru);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  bool is_enabled() const { return enabled_; }
  // What is evicted for room goes there, and is found there. Null: nowhere. Must outlive it.
  void spill_to(HostTier* tier) { tier_ = tier; }
  HostTier* host_tier() const { return tier_; }
  // One more who is told of every block that is taken in or evicted from now on.
  void report_to(BlockEventSink& sink) { index_.report_to(sink); }

  // The longest cached prefix of at most max_tokens tokens: whole blocks, and both of what may come
  // after them, for the caller to choose. Changes nothing.
  void match(const PrefixHashes& hashes, std::span<const int32_t> tokens, int32_t max_tokens,
             PrefixMatch& out) const;
  // Calls of match() so far. The longest take some 20 µs, on the engine's thread.
  uint64_t n_matches() const { return n_matches_; }
  // The whole blocks that match() would find now.
  int32_t n_blocks_found(const PrefixHashes& hashes, std::span<const int32_t> tokens,
                         int32_t max_tokens) const;
  // Of these entries, how many blocks of a group nobody references: sharing makes them unavailable.
  int32_t n_cached_of(std::span<const BlockId> entries, int group) const;

  // References to what the entries hold in a group, for a tenant's sequence's table.
  std::vector<BlockRef> share(std::span<const BlockId> entries, int group, int32_t tenant = 0);
  // A reference to what one entry holds in a group, so that it stays while its head is copied. Like
  // any share, it takes an available block if nobody references this one. To be let go of before
  // the tables and the chain that reference what comes before it (invariant 4).
  BlockRef share_partial(BlockId entry, int group, int32_t tenant = 0);
  // Begins a sequence's chain at entries that its tables share already; room for max_blocks, so
  // that publish() need not allocate.
  PrefixChain start_chain(const PrefixHashes& hashes, std::span<const BlockId> entries,
                          int32_t max_blocks, int32_t tenant = 0, const Retention& retention = {});
  // Takes in the full blocks among the first n_tokens of a sequence, which are forwarded and
  // proven, beyond those that its chain has passed. tables: [n_groups], the sequence's block ids.
  // What the index has already stays as it is, the first insert wins: the sequence goes on with its
  // own block, and its chain with the one that is known. That one must be referenced too; where
  // every block is spoken for, the chain ends here; likewise where the index has no room
  // (PrefixIndex::has_room).
  void publish(PrefixChain& chain, std::span<const int32_t> tokens, int32_t n_tokens,
               std::span<const std::span<const BlockId>> tables);
  // What the sequence has computed from here on is taken in no more.
  static void stop_publishing(PrefixChain& chain) { chain.publishes_ = false; }
  // Lets go of the chain's entries, the last one first. After the sequence's tables.
  static void end_chain(PrefixChain& chain);

  // The time from now on: retentions run out by it.
  void advance(Clock::TimePoint now) { queue_.advance(now); }
  // What it takes to compute blocks that are taken in from now on.
  void set_cost(const PrefillCost& cost) { queue_.set_cost(cost); }
  // Evicts until every group has n_blocks free ones, all of which a tenant was reserved. CHECKs
  // that it can.
  void make_room(std::span<const int32_t> n_blocks, int32_t tenant = 0);

  // Evicts every entry that no sequence references and `wanted` names (null: all of them), as far
  // as none stays after it that is not. How many entries that were; they do not count as
  // n_evicted().
  int32_t clear(const std::function<bool(BlockId entry)>& wanted = nullptr);

  const PrefixIndex& index() const { return index_; }
  uint64_t n_evicted() const { return n_evicted_; }          // blocks of group 0, for room
  uint64_t n_not_indexed() const { return n_not_indexed_; }  // chains that a full bucket ended
  // The number of the first invariant that does not hold, or 0. Walks every block.
  int check_invariants() const;

 private:
  // Calls take(entry) for the whole blocks of a match, at most max_blocks.
  template <class Take>
  void match_blocks(const PrefixHashes& hashes, std::span<const int32_t> tokens, int32_t max_blocks,
                    const Take& take) const;
  void on_cached(BlockId entry) override;
  void on_shared(BlockId entry) override;
  BlockId choose_victim(size_t group, int32_t taker);
  BlockId first_of(int32_t tenant);
  BlockId childless_in_place_of(BlockId entry);
  void evict(BlockId entry);
  void spill(BlockId entry);
  int check_queue() const;
  bool can_share(BlockId entry, int32_t tenant) const;
  void pass(BlockId entry, PrefixChain& chain);

  KvPools& pools_;
  const int32_t block_size_;
  const bool enabled_;
  PrefixIndex index_;
  EvictionQueue queue_;
  std::vector<BlockId> blocks_;  // [n_groups], of the entry at hand
  HostTier* tier_ = nullptr;
  uint64_t n_evicted_ = 0;
  uint64_t n_not_indexed_ = 0;
  mutable uint64_t n_matches_ = 0;
};

}  // namespace lockstep
