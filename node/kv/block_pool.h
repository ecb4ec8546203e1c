// BlockPool: hands out the ids of KV blocks, one pool per KV group of a node. Counts references,
// states and generations; knows nothing of bytes, ranks or models. Engine thread only.
//
//   auto promise = pool.reserve(3);      // nullopt: not now
//   BlockRef block = promise->take();    // copying shares it, destroying the last copy returns it
//   pool.keep(block.id());               // worth something: then it becomes kCached instead of
//   free BlockRef again = pool.share(id);     // while it is kept pool.evict(pool.oldest_cached());
//   // so that there is a free one again
//
// Invariants (numbered as in docs/engine.md and check_invariants()):
//   1. blocks by state sum to n_blocks_total
//   2. a block is on the free list exactly when it is kFree, on the list of cached ones exactly
//   when
//      it is kCached, and has references exactly when it is kActive
//   3. promised blocks are there: n_blocks_reserved <= n_blocks_free + cached ones
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "common/ids.h"

namespace lockstep {

class BlockPool;

enum class BlockState : uint8_t {
  kFree,    // nobody's; its content means nothing
  kCached,  // kept, and referenced by nobody: may be evicted
  kActive,  // referenced by at least one sequence
};
inline constexpr int kNBlockStates = 3;

// One reference to a block.
class BlockRef {
 public:
  BlockRef() = default;
  BlockRef(const BlockRef& other);
  BlockRef(BlockRef&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), id_(other.id_) {}
  BlockRef& operator=(BlockRef other) noexcept;
  ~BlockRef();

  BlockId id() const { return id_; }
  explicit operator bool() const { return pool_ != nullptr; }

 private:
  friend class BlockPool;
  BlockRef(BlockPool& pool, BlockId id) : pool_(&pool), id_(id) {}

  BlockPool* pool_ = nullptr;
  BlockId id_{};
};

// A promise of blocks: take() cannot fail while n_blocks_left() > 0, once cached blocks have been
// evicted where none is free. What was not taken goes back with the promise.
class BlockPromise {
 public:
  BlockPromise() = default;
  BlockPromise(BlockPromise&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), n_left_(std::exchange(other.n_left_, 0)) {}
  BlockPromise& operator=(BlockPromise&& other) noexcept;
  ~BlockPromise();

  BlockRef take();
  // Adds what another promise of the same pool has left.
  void merge(BlockPromise other);
  int32_t n_blocks_left() const { return n_left_; }

 private:
  friend class BlockPool;
  BlockPromise(BlockPool& pool, int32_t n_blocks) : pool_(&pool), n_left_(n_blocks) {}

  BlockPool* pool_ = nullptr;
  int32_t n_left_ = 0;
};

class BlockPool {
 public:
  explicit BlockPool(int32_t n_blocks);
  ~BlockPool();  // CHECKs that every reference and every promise came home
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // All or nothing: nullopt if fewer than n_blocks are unpromised.
  std::optional<BlockPromise> reserve(int32_t n_blocks);

  // Of a referenced block: its content is known and will not change again.
  void keep(BlockId id);
  bool is_kept(BlockId id) const { return block(id).is_kept; }
  // One more reference to a kept block. CHECKs that no promise was made of it: a cached block that
  // becomes active is one less to take.
  BlockRef share(BlockId id);
  // The cached block that has been unreferenced for longest. CHECKs that there is one.
  BlockId oldest_cached() const;
  // Makes a cached block free.
  void evict(BlockId id);

  int32_t n_blocks_total() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t n_blocks(BlockState state) const { return n_by_state_[static_cast<size_t>(state)]; }
  int32_t n_blocks_free() const { return n_blocks(BlockState::kFree); }
  int32_t n_blocks_reserved() const { return n_reserved_; }
  int32_t n_blocks_cached() const { return n_blocks(BlockState::kCached); }
  // What reserve() can still promise.
  int32_t n_blocks_available() const { return n_blocks_free() + n_blocks_cached() - n_reserved_; }

  BlockState state(BlockId id) const { return block(id).state; }
  uint32_t n_refs(BlockId id) const { return block(id).n_refs; }
  // Grows each time the block is handed out, so that a stale id can be told from the block's
  // present life.
  uint32_t generation(BlockId id) const { return block(id).generation; }

  // The number of the first invariant that does not hold, or 0. `full` walks every block.
  int check_invariants(bool full) const;

 private:
  friend class BlockRef;
  friend class BlockPromise;
  struct Block {
    uint32_t n_refs = 0;
    uint32_t generation = 0;
    BlockState state = BlockState::kFree;
    bool is_kept = false;
    int32_t older = -1, newer = -1;  // neighbours in the list of cached blocks
  };

  Block& block(BlockId id);
  const Block& block(BlockId id) const;
  void set_state(Block& block, BlockState to);
  BlockRef hand_out();
  void add_ref(BlockId id);
  void drop_ref(BlockId id);
  void append_cached(BlockId id);
  void unlink_cached(BlockId id);
  bool lists_are_sound() const;

  std::vector<Block> blocks_;
  std::vector<BlockId> free_;  // a stack: the block freed last is handed out first
  int32_t oldest_cached_ = -1, newest_cached_ = -1;
  std::array<int32_t, kNBlockStates> n_by_state_{};
  int32_t n_reserved_ = 0;
};

// The pools of a node, one per KV group. A deque, because references know their pool by address.
using KvPools = std::deque<BlockPool>;

}  // namespace lockstep
