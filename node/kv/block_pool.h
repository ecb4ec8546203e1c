// BlockPool: hands out the ids of KV blocks, one pool per KV group of a node. Counts references,
// states and generations; knows nothing of bytes, ranks or models. Engine thread only.
//
//   auto promise = pool.reserve(3);      // nullopt: not now
//   BlockRef block = promise->take();    // copying shares it, destroying the last copy returns it
//
// Invariants (numbered as in docs/engine.md and check_invariants()):
//   1. blocks by state sum to n_blocks_total
//   2. a block is on the free list exactly when it is kFree and has no references
//   3. promised blocks are there: n_blocks_reserved <= n_blocks_free
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
  kActive,  // referenced by at least one sequence
};
inline constexpr int kNBlockStates = 2;

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

// A promise of blocks: take() cannot fail while n_blocks_left() > 0. What was not taken goes back
// with the promise.
class BlockPromise {
 public:
  BlockPromise() = default;
  BlockPromise(BlockPromise&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), n_left_(std::exchange(other.n_left_, 0)) {}
  BlockPromise& operator=(BlockPromise&& other) noexcept;
  ~BlockPromise();

  BlockRef take();
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
  ~BlockPool();  // CHECKs that every block and every promise came home
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // All or nothing: nullopt if fewer than n_blocks are unpromised.
  std::optional<BlockPromise> reserve(int32_t n_blocks);

  int32_t n_blocks_total() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t n_blocks(BlockState state) const { return n_by_state_[static_cast<size_t>(state)]; }
  int32_t n_blocks_free() const { return n_blocks(BlockState::kFree); }
  int32_t n_blocks_reserved() const { return n_reserved_; }
  // What reserve() can still promise.
  int32_t n_blocks_available() const { return n_blocks_free() - n_reserved_; }

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
  };

  Block& block(BlockId id);
  const Block& block(BlockId id) const;
  void set_state(Block& block, BlockState to);
  BlockRef hand_out();
  void add_ref(BlockId id);
  void drop_ref(BlockId id);

  std::vector<Block> blocks_;
  std::vector<BlockId> free_;  // a stack: the block freed last is handed out first
  std::array<int32_t, kNBlockStates> n_by_state_{};
  int32_t n_reserved_ = 0;
};

// The pools of a node, one per KV group. A deque, because references know their pool by address.
using KvPools = std::deque<BlockPool>;

}  // namespace lockstep
