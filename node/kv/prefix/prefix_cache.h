// PrefixCache: automatic prefix caching. It keeps the KV blocks that sequences leave behind, for
// sequences that begin with the same tokens. It connects the pool (references to a block) to the
// index (which tokens a block holds): it finds the longest cached prefix of a prompt, inserts full
// blocks whose values are known to be finite, and evicts blocks by the policy when room is needed.
// The cache does not touch the bytes of a block. Engine thread only.
//
// An entry is one full block of tokens in the index, named by the KV block that holds it. An entry
// is referenced while a chain, a block table or a copy holds a BlockRef to its block.
//
// A sequence follows its own tokens down the trie with a PrefixChain. The chain holds references to
// every entry it has passed, and releases them from the end, after the sequence's table. So a
// reference to an entry implies references to all entries before it, and no entry after an
// unreferenced entry is referenced. Therefore, whenever there are unreferenced entries, some of
// them are childless, and evicting childless entries leaves no gap in a prefix.
//
// Invariants (numbered as in docs/kv-cache.md and check_invariants()):
//   1, 2. the invariants of PrefixIndex
//   3. a block is kept by the pool exactly when the index has it
//   4. a referenced entry has a referenced parent
//   5. the eviction queue has exactly the unreferenced entries, as childless exactly those without
//      children, each under the tenant that its block is charged to
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

// The part of a prompt that match() found: whole entries from the root on, then either host blocks
// that continue the prefix, or one entry of which only the first n_partial tokens agree. Host
// blocks and the partial entry are copied into blocks of the sequence's own.
struct PrefixMatch {
  std::vector<BlockId> entries;
  std::vector<HostBlockId> host;
  BlockId partial = PrefixIndex::kNone;
  int32_t n_partial = 0;  // tokens, less than a block; 0 exactly if partial is kNone
};

// The references to the entries that one sequence's tokens have passed.
class PrefixChain {
 public:
  int32_t n_blocks() const { return static_cast<int32_t>(refs_.size()); }
  bool publishes() const { return publishes_; }
  std::span<const BlockRef> refs() const { return refs_; }  // [n_blocks]

 private:
  friend class PrefixCache;
  int32_t tenant_ = 0;  // the tenant that its references are charged to
  Retention retention_;
  bool publishes_ = false;  // publish() may still insert blocks
  PrefixKey key_;
  uint64_t hash_ = 0;           // hash of the last entry, or of the key
  std::vector<BlockRef> refs_;  // of the entries from the root on
};

class PrefixCache final : private CachedBlockWatcher {
 public:
  // The pool must outlive the cache. A disabled cache finds and inserts nothing.
  PrefixCache(BlockPool& pool, int32_t block_size, bool enabled,
              EvictionPolicy policy = EvictionPolicy::kLru);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  bool is_enabled() const { return enabled_; }
  // Sets the host tier, which keeps what make_room() evicts and is searched by match(). Null: no
  // tier. The tier must outlive the cache.
  void set_host_tier(HostTier* tier) { tier_ = tier; }
  HostTier* host_tier() const { return tier_; }
  // Adds a sink that receives every block that is inserted or evicted from now on.
  void add_sink(BlockEventSink& sink) { index_.add_sink(sink); }

  // Finds the longest cached prefix of at most max_tokens tokens: whole blocks, and after them both
  // host blocks and a partial entry, of which the caller uses one. Changes no block.
  void match(const PrefixHashes& hashes, std::span<const int32_t> tokens, int32_t max_tokens,
             PrefixMatch& out) const;
  // Calls of match() so far. The longest calls take about 20 µs of the engine thread.
  uint64_t n_matches() const { return n_matches_; }
  // How many whole blocks match() would find now.
  int32_t n_blocks_found(const PrefixHashes& hashes, std::span<const int32_t> tokens,
                         int32_t max_tokens) const;
  // How many of the entries' blocks are in the state kCached, that is unreferenced. Sharing those
  // takes as many available blocks.
  int32_t n_cached_of(std::span<const BlockId> entries) const;

  // References to the entries' blocks, for the block table of a sequence of `tenant`.
  std::vector<BlockRef> share(std::span<const BlockId> entries, int32_t tenant = 0);
  // A reference to one entry's block, so that the block stays while it is copied. Like
  // share(), it takes an available block if the block is cached. The caller drops the reference
  // before the table and the chain that reference the entries before it (invariant 4).
  BlockRef share_partial(BlockId entry, int32_t tenant = 0);
  // Begins a sequence's chain at entries that its table shares already. Allocates for max_blocks,
  // so that publish() does not allocate.
  PrefixChain start_chain(const PrefixHashes& hashes, std::span<const BlockId> entries,
                          int32_t max_blocks, int32_t tenant = 0, const Retention& retention = {});
  // Inserts the full blocks among the first n_tokens of a sequence that its chain has not passed.
  // Those tokens must have been forwarded, and their keys and values be known to be finite.
  // `blocks` is the sequence's block table. The first insert wins: if the index has a block
  // already, the sequence keeps its own block, and the chain references the indexed one. The chain
  // stops publishing if no block is available for that reference, or if the index has no room for a
  // block (PrefixIndex::has_room).
  void publish(PrefixChain& chain, std::span<const int32_t> tokens, int32_t n_tokens,
               std::span<const BlockId> blocks);
  // Makes publish() insert nothing more of this sequence.
  static void stop_publishing(PrefixChain& chain) { chain.publishes_ = false; }
  // Drops the chain's references, the last entry's first. Called after the sequence's table is
  // cleared.
  static void end_chain(PrefixChain& chain);

  // Sets the time by which retentions end.
  void advance(Clock::TimePoint now) { queue_.advance(now); }
  // Sets the cost of computing again the blocks that are inserted from now on.
  void set_cost(const PrefillCost& cost) { queue_.set_cost(cost); }
  // Evicts until the pool has n_blocks free blocks, all of which `tenant` has reserved. CHECKs that
  // enough blocks may be evicted.
  void make_room(int32_t n_blocks, int32_t tenant = 0);

  // Evicts the unreferenced entries for which `wanted` returns true (null: all). An entry with a
  // child that stays also stays. Returns how many were evicted; n_evicted() does not count them.
  int32_t clear(const std::function<bool(BlockId entry)>& wanted = nullptr);

  const PrefixIndex& index() const { return index_; }
  uint64_t n_evicted() const { return n_evicted_; }  // entries evicted by make_room()
  // Chains that stopped publishing because a bucket of the index was full.
  uint64_t n_not_indexed() const { return n_not_indexed_; }
  // The number of the first invariant that does not hold, or 0. Walks every block.
  int check_invariants() const;

 private:
  // Calls take(entry) for the whole blocks of a match, at most max_blocks.
  template <class Take>
  void match_blocks(const PrefixHashes& hashes, std::span<const int32_t> tokens, int32_t max_blocks,
                    const Take& take) const;
  void on_cached(BlockId entry) override;
  void on_shared(BlockId entry) override;
  BlockId choose_victim(int32_t taker);
  BlockId first_of(int32_t tenant);
  BlockId childless_in_place_of(BlockId entry);
  void evict(BlockId entry);
  int check_queue() const;
  bool can_share(BlockId entry, int32_t tenant) const;
  void append_to_chain(BlockId entry, PrefixChain& chain);

  BlockPool& pool_;
  const int32_t block_size_;
  const bool enabled_;
  PrefixIndex index_;
  EvictionQueue queue_;
  HostTier* tier_ = nullptr;
  uint64_t n_evicted_ = 0;
  uint64_t n_not_indexed_ = 0;
  mutable uint64_t n_matches_ = 0;
};

}  // namespace lockstep
