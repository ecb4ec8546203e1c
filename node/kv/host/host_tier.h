// HostTier: which evicted blocks host memory keeps, and for which tokens. Its blocks are another
// pool of ids: what a KV block held in every group, on every rank. Knows no bytes; ranks hold those
// and verify them before use (node/kv/host/host_block_store.h). Engine thread only.
//
// A prefix has a number of its own, never used again, as long as it is on the devices or here; a
// block is found by the number of the prefix before it and its own tokens. So, as in the prefix
// index, a hash hit alone is never trusted, although blocks leave the devices one by one.
//
//   tier.stored(entry, …);                  // the prefix cache has taken a block in
//   tier.evicted(entry, …);                 // and lets go of it: it is kept here, and is one of
//   tier.take_stores(copies);              // the copies that the next step begins with
//   tier.match(…, found);                  // what goes on from the devices' part of a prefix
//   HostPin pin = tier.pin(found.front())  // stays until it has been loaded
//
// Invariants (numbered as in docs/kv-cache.md and check_invariants()):
//   1. blocks by state sum to n_blocks_total
//   2. a block is found by its prefix exactly when it is valid, and is pinned by its pins alone
//   3. the order of eviction has exactly the valid blocks that nobody pins
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <span>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "node/kv/index/prefix_hashes.h"
#include "node/kv/index/prefix_index.h"

namespace lockstep {

enum class HostBlockState : uint8_t {
  kFree,         // its content means nothing
  kCached,       // a prefix's block, that may give way to others
  kPinned,       // a sequence is to load it
  kQuarantined,  // its content was not what had been stored; free again after some steps
};
inline constexpr int kNHostBlockStates = 4;

// How long a block stays in quarantine. What is stored in it next overwrites all of it.
inline constexpr uint64_t kQuarantineSteps = 64;

// Copies to host memory, each of all the blocks that one entry of the prefix index holds. Refilled
// every step, so its room is kept.
class HostCopies {
 public:
  struct To {
    HostBlockId block{-1};
    uint64_t tag = 0;  // names the content: verified together with the bytes
  };
  void add(To to, std::span<const BlockId> from) {
    to_.push_back(to);
    for (BlockId block : from) from_.push_back(block);
  }
  void clear() {
    to_.clear();
    from_.clear();
  }
  size_t size() const { return to_.size(); }
  const To& to(size_t i) const { return to_[i]; }
  // [n_groups]
  std::span<const BlockId> from(size_t i) const {
    const size_t n_groups = from_.size() / to_.size();
    return std::span(from_).subspan(i * n_groups, n_groups);
  }

 private:
  std::vector<To> to_;
  std::vector<BlockId> from_;  // [size, n_groups]
};

class HostTier;

// Keeps a block from being evicted. Of several let go at once, the last in the prefix goes first,
// so that a block is never evicted before those behind it: release().
class HostPin {
 public:
  HostPin() = default;
  HostPin(HostPin&& other) noexcept : tier_(std::exchange(other.tier_, nullptr)), id_(other.id_) {}
  HostPin& operator=(HostPin&& other) noexcept;
  ~HostPin();

  HostBlockId id() const { return id_; }
  uint64_t tag() const;
  // False: the content turned out not to be there, or not to be right.
  bool is_valid() const;

 private:
  friend class HostTier;
  HostPin(HostTier& tier, HostBlockId id) : tier_(&tier), id_(id) {}

  HostTier* tier_ = nullptr;
  HostBlockId id_{-1};
};

void release(std::vector<HostPin>& pins);

class HostTier {
 public:
  static constexpr HostBlockId kNone{-1};

  // n_blocks of host memory for a prefix index of n_device_blocks; at most max_stores copies are
  // made before a step, and what is evicted beyond that is not kept.
  HostTier(int32_t n_blocks, int32_t n_device_blocks, int32_t block_size, int32_t max_stores);
  ~HostTier();  // CHECKs that every pin came home
  HostTier(const HostTier&) = delete;
  HostTier& operator=(const HostTier&) = delete;

  // --- What the prefix cache tells -----------------------------------------------------------
  // The index has this entry now.
  void stored(const PrefixIndex& index, BlockId entry);
  // The index is about to forget it, for room; blocks: [n_groups], what it holds.
  void evicted(const PrefixIndex& index, BlockId entry, int32_t tenant,
               std::span<const BlockId> blocks);

  // --- Steps ---------------------------------------------------------------------------------
  // The copies that the next step begins with: all since the last call, into `out`.
  void take_stores(HostCopies& out);
  // One step more has been planned: quarantines run out by it.
  void begin_step();

  // --- Finding and loading -------------------------------------------------------------------
  // The blocks after `last` on the devices (kNone: from the root on), which is block
  // first_block - 1 of these tokens, up to block end_block. Changes nothing.
  void match(const PrefixHashes& hashes, std::span<const int32_t> tokens, int32_t first_block,
             int32_t end_block, BlockId last, std::vector<HostBlockId>& out) const;
  HostPin pin(HostBlockId id);
  // The copy was not made, or the step with it failed: nobody finds the block any more.
  void drop(HostBlockId id) { invalidate(id, /*is_bad=*/false); }
  // What was read is not what had been stored.
  void quarantine(HostBlockId id);
  // Forgets every block, or those of a salt or tenant, that nobody pins. How many.
  int32_t clear(const std::function<bool(uint64_t key_hash, int32_t tenant)>& wanted = nullptr);

  int32_t n_blocks_total() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t n_blocks(HostBlockState state) const { return n_by_state_[static_cast<size_t>(state)]; }
  HostBlockState state(HostBlockId id) const { return block(id).state; }
  uint64_t tag(HostBlockId id) const { return block(id).prefix; }
  bool is_valid(HostBlockId id) const { return block(id).is_valid; }
  uint64_t hash(HostBlockId id) const { return block(id).hash; }
  // Counters: blocks copied here, evicted from here, and found wrong.
  uint64_t n_stored() const { return n_stored_; }
  uint64_t n_evicted() const { return n_evicted_; }
  uint64_t n_quarantined() const { return n_quarantined_; }
  // Blocks not copied here, as there are PrefixIndex::kMaxInBucket that hash alike.
  uint64_t n_not_indexed() const { return n_not_indexed_; }

  // The number of the first invariant that does not hold, or 0. Walks every block.
  int check_invariants() const;

 private:
  friend class HostPin;
  using PrefixId = uint64_t;
  static constexpr PrefixId kRoot = 0;  // of every key

  struct Block {
    HostBlockState state = HostBlockState::kFree;
    bool is_valid = false;  // holds what its prefix says, as far as is known
    bool is_bad = false;    // and where it does not, is not to be used again at once
    int32_t n_pins = 0;
    int32_t tenant = 0;
    PrefixId prefix = 0, parent = kRoot;
    PrefixKey key;  // of a prefix's first block
    uint64_t key_hash = 0;
    uint64_t hash = 0;                   // chained, as the prefix index has it
    uint64_t until_step = 0;             // in quarantine
    int32_t next_in_bucket = -1;         // while it is valid
    std::list<int32_t>::iterator place;  // in order_ while it is cached, else in unlisted_
  };

  Block& block(HostBlockId id);
  const Block& block(HostBlockId id) const;
  std::span<const int32_t> tokens(HostBlockId id) const;
  PrefixId prefix_before(const PrefixIndex& index, BlockId entry) const;
  HostBlockId find(PrefixId parent, const PrefixKey& key, uint64_t hash,
                   std::span<const int32_t> tokens) const;
  HostBlockId take_block();
  void set_state(HostBlockId id, HostBlockState to);
  void invalidate(HostBlockId id, bool is_bad);
  void settle(HostBlockId id);
  void unpin(HostBlockId id);
  int n_in_bucket(uint64_t hash) const;
  size_t bucket_of(uint64_t hash) const { return hash & (buckets_.size() - 1); }
  void link(HostBlockId id);
  void unlink(HostBlockId id);

  const int32_t block_size_;
  const int32_t max_stores_;
  std::vector<Block> blocks_;       // [n_blocks]
  std::vector<int32_t> tokens_;     // [n_blocks, block_size]
  std::vector<int32_t> buckets_;    // first block of each, or -1; a power of two
  std::vector<PrefixId> prefixes_;  // [n_device_blocks], of the index's nodes
  std::list<int32_t> order_;        // of eviction
  std::list<int32_t> unlisted_;     // the other blocks' places, so that none is made or destroyed
  std::vector<int32_t> free_;       // a stack
  std::vector<int32_t> quarantined_;
  HostCopies stores_;
  std::array<int32_t, kNHostBlockStates> n_by_state_{};
  PrefixId next_prefix_ = kRoot + 1;
  uint64_t step_ = 0;
  uint64_t n_stored_ = 0, n_evicted_ = 0, n_quarantined_ = 0, n_not_indexed_ = 0;
};

}  // namespace lockstep
