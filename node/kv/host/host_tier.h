// HostTier: which evicted KV blocks host memory keeps (the swap space of other engines), and for
// which tokens. Owns a pool of host block ids; a host block stands for what a KV block held on
// every rank. Knows no bytes: ranks hold the bytes and verify them before use
// (node/kv/host/host_block_store.h). Engine thread only.
//
// A prefix has a number, never used again, as long as it is on the devices or in the tier. A host
// block is found by the number of the prefix before it and by its own tokens. So, as in the prefix
// index, a hash hit alone is never trusted, although blocks leave the devices one by one.
//
//   tier.stored(index, entry);                // the prefix cache has inserted an entry
//   tier.evicted(index, entry, tenant);       // the cache evicts it: the tier keeps its block
//   tier.take_stores(copies);                 // the copies that the next step begins with
//   tier.match(…, found);                     // what continues the devices' part of a prefix
//   HostPin pin = tier.pin(found.front());    // not evicted before the pin is released
//
// Invariants (numbered as in docs/kv-cache.md and check_invariants()):
//   1. blocks by state sum to n_blocks_total; free and quarantined blocks are on their lists
//   2. a block is found by its prefix exactly when it is valid, and is kPinned exactly while it has
//      pins
//   3. the eviction order has exactly the valid blocks without pins
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
  kCached,       // holds a prefix's block; may be evicted
  kPinned,       // a sequence is going to load it
  kQuarantined,  // its content was not what had been stored; free after kQuarantineSteps
};
inline constexpr int kNHostBlockStates = 4;

// Steps that a block stays in quarantine. The next store into the block overwrites all of it.
inline constexpr uint64_t kQuarantineSteps = 64;

// A copy of a block to host memory.
struct HostCopy {
  BlockId from{-1};
  HostBlockId to{-1};
  uint64_t tag = 0;  // names the content; verified together with the bytes
};

class HostTier;

// Keeps one host block from being evicted. release() releases the pins of one prefix from its end,
// so that a block is never evicted before the blocks that follow it in the prefix.
class HostPin {
 public:
  HostPin() = default;
  HostPin(HostPin&& other) noexcept : tier_(std::exchange(other.tier_, nullptr)), id_(other.id_) {}
  HostPin& operator=(HostPin&& other) noexcept;
  ~HostPin();

  HostBlockId id() const { return id_; }
  uint64_t tag() const;
  // False once the copy is known to be missing (drop()) or wrong (quarantine()).
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

  // n_blocks host blocks for a prefix index of n_device_blocks. At most max_stores copies are made
  // before a step; what is evicted beyond that is not kept.
  HostTier(int32_t n_blocks, int32_t n_device_blocks, int32_t block_size, int32_t max_stores);
  ~HostTier();  // CHECKs that no pin is left
  HostTier(const HostTier&) = delete;
  HostTier& operator=(const HostTier&) = delete;

  // --- Called by the prefix cache --------------------------------------------------------------
  // The index has inserted this entry.
  void stored(const PrefixIndex& index, BlockId entry);
  // The index is about to remove the entry, to make room.
  void evicted(const PrefixIndex& index, BlockId entry, int32_t tenant);

  // --- Steps ---------------------------------------------------------------------------------
  // Moves the copies that the next step begins with, all since the last call, into `out`.
  void take_stores(std::vector<HostCopy>& out);
  // One more step has been planned. Quarantines are counted in these steps.
  void begin_step();

  // --- Finding and loading -------------------------------------------------------------------
  // Finds the host blocks that hold blocks [first_block, end_block) of `tokens`, up to the first
  // that is missing. `last` is the entry of block first_block - 1 on the devices (kNone: the search
  // begins at the root). Changes nothing but `out`.
  void match(const PrefixHashes& hashes, std::span<const int32_t> tokens, int32_t first_block,
             int32_t end_block, BlockId last, std::vector<HostBlockId>& out) const;
  HostPin pin(HostBlockId id);
  // The copy was not made, or the step with it failed. The block is not found any more.
  void drop(HostBlockId id) { invalidate(id, /*is_bad=*/false); }
  // What was read is not what had been stored. The block is not found any more, nor used for
  // kQuarantineSteps.
  void quarantine(HostBlockId id);
  // Drops every block without pins for which `wanted` returns true (null: all). Returns how many.
  int32_t clear(const std::function<bool(uint64_t key_hash, int32_t tenant)>& wanted = nullptr);

  int32_t n_blocks_total() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t n_blocks(HostBlockState state) const { return n_by_state_[static_cast<size_t>(state)]; }
  HostBlockState state(HostBlockId id) const { return block(id).state; }
  uint64_t tag(HostBlockId id) const { return block(id).prefix; }
  bool is_valid(HostBlockId id) const { return block(id).is_valid; }
  uint64_t hash(HostBlockId id) const { return block(id).hash; }
  // Counters of blocks: copied to the tier, evicted from it, and found wrong.
  uint64_t n_stored() const { return n_stored_; }
  uint64_t n_evicted() const { return n_evicted_; }
  uint64_t n_quarantined() const { return n_quarantined_; }
  // Counter of blocks not copied, because PrefixIndex::kMaxInBucket blocks were in their bucket.
  uint64_t n_not_indexed() const { return n_not_indexed_; }

  // The number of the first invariant that does not hold, or 0. Walks every block.
  int check_invariants() const;

 private:
  friend class HostPin;
  using PrefixId = uint64_t;
  static constexpr PrefixId kRoot = 0;  // the parent of the first block, for every key

  struct Block {
    HostBlockState state = HostBlockState::kFree;
    bool is_valid = false;  // is found by its prefix, and nothing is known against its content
    bool is_bad = false;    // not valid because its content was wrong: goes into quarantine
    int32_t n_pins = 0;
    int32_t tenant = 0;
    PrefixId prefix = 0, parent = kRoot;
    PrefixKey key;  // set for a prefix's first block only
    uint64_t key_hash = 0;
    uint64_t hash = 0;                   // the chained hash of the prefix index
    uint64_t until_step = 0;             // end of its quarantine
    int32_t next_in_bucket = -1;         // set while it is valid
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
  std::vector<PrefixId> prefixes_;  // [n_device_blocks], of the entries of the prefix index
  std::list<int32_t> order_;        // eviction order of the cached blocks, first to go first
  std::list<int32_t> unlisted_;     // list nodes of the other blocks: splicing allocates nothing
  std::vector<int32_t> free_;       // a stack
  std::vector<int32_t> quarantined_;
  std::vector<HostCopy> stores_;
  std::array<int32_t, kNHostBlockStates> n_by_state_{};
  PrefixId next_prefix_ = kRoot + 1;
  uint64_t step_ = 0;
  uint64_t n_stored_ = 0, n_evicted_ = 0, n_quarantined_ = 0, n_not_indexed_ = 0;
};

}  // namespace lockstep
