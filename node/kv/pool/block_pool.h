// BlockPool: hands out the ids of a node's KV blocks. Counts references, states and generations;
// knows nothing of bytes, ranks or models. Engine thread only.
//
//   auto reservation = pool.reserve(3);         // nullopt: not enough blocks now
//   BlockRef block = reservation->take();       // a copy shares it, the last destructor returns it
//   pool.keep(block.id());                      // at its last reference: cached instead of free
//   BlockRef again = pool.share(block.id());    // possible while the block is kept
//   pool.evict(cached_id);                      // a cached block becomes free
//
// Every reserved, active and cached block is charged to one tenant, by the tenant's number. Without
// configured tenants there is one tenant, number 0, without limits (node/kv/pool/tenant_ledger.h).
//
// Invariants (numbered as in docs/engine.md and check_invariants()):
//   1. blocks by state sum to n_blocks_total
//   2. a block is on the free list exactly when it is kFree, is kept when it is kCached, and has
//      references exactly when it is kActive
//   3. n_blocks_reserved <= n_blocks_free + n_blocks_cached; the ledger's own invariants hold, and
//      its counts equal those of the blocks and reservations
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "node/kv/pool/tenant_ledger.h"

namespace lockstep {

class BlockPool;

enum class BlockState : uint8_t {
  kFree,    // has no owner; its content means nothing
  kCached,  // kept, without references: may be evicted
  kActive,  // has at least one reference
};
inline constexpr int kNBlockStates = 3;

// The pool calls on_cached() when a kept block loses its last reference, and on_shared() when a
// cached block gets a reference again. Neither may change the pool.
class CachedBlockWatcher {
 public:
  virtual void on_cached(BlockId id) = 0;
  virtual void on_shared(BlockId id) = 0;

 protected:
  ~CachedBlockWatcher() = default;
};

// One reference to a block. A default-constructed or moved-from BlockRef refers to none.
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

// Reserves n blocks of a pool for a tenant. take() cannot fail for a reserved block, but the caller
// must first evict a cached block if none is free. The destructor returns what was not taken.
class BlockReservation {
 public:
  BlockReservation() = default;
  BlockReservation(BlockReservation&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        n_left_(std::exchange(other.n_left_, 0)),
        tenant_(other.tenant_) {}
  BlockReservation& operator=(BlockReservation&& other) noexcept;
  ~BlockReservation();

  // CHECKs that n_blocks_left() > 0 and that the pool has a free block.
  BlockRef take();
  // Adds what `other`, a reservation of the same pool and tenant, has left.
  void merge(BlockReservation other);
  int32_t n_blocks_left() const { return n_left_; }

 private:
  friend class BlockPool;
  BlockReservation(BlockPool& pool, int32_t n_blocks, int32_t tenant)
      : pool_(&pool), n_left_(n_blocks), tenant_(tenant) {}

  BlockPool* pool_ = nullptr;
  int32_t n_left_ = 0;
  int32_t tenant_ = 0;
};

class BlockPool {
 public:
  // Throws LoadError if the pool is smaller than the sum of the tenants' floors.
  explicit BlockPool(int32_t n_blocks, std::span<const TenantConfig> tenants = {});
  ~BlockPool();  // CHECKs that no reference and no reservation is left
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // Sets the one watcher; null: none.
  void watch(CachedBlockWatcher* watcher) { watcher_ = watcher; }

  // Reserves all n_blocks, or none: nullopt if fewer are available to the tenant.
  std::optional<BlockReservation> reserve(int32_t n_blocks, int32_t tenant = 0);
  bool can_reserve(int32_t n_blocks, int32_t tenant = 0) const {
    return n_blocks <= n_blocks_available(tenant);
  }

  // Marks a referenced block as kept: its content is known and will not change again, so the block
  // becomes cached, not free, when its last reference is dropped.
  void keep(BlockId id);
  bool is_kept(BlockId id) const { return block(id).is_kept; }
  // Adds a reference to a kept block. A cached block becomes active and is charged to `tenant`;
  // CHECKs then that n_blocks_available(tenant) > 0.
  BlockRef share(BlockId id, int32_t tenant = 0);
  // Makes a cached block free.
  void evict(BlockId id);
  // Exchanges the tenants that two cached blocks are charged to.
  void swap_owners(BlockId a, BlockId b);

  int32_t n_blocks_total() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t n_blocks(BlockState state) const { return n_by_state_[static_cast<size_t>(state)]; }
  int32_t n_blocks_free() const { return n_blocks(BlockState::kFree); }
  int32_t n_blocks_reserved() const { return n_reserved_; }
  int32_t n_blocks_cached() const { return n_blocks(BlockState::kCached); }
  // The most blocks that reserve() can still reserve for the tenant.
  int32_t n_blocks_available(int32_t tenant = 0) const { return ledger_.n_available(tenant); }
  const TenantLedger& ledger() const { return ledger_; }
  int32_t owner(BlockId id) const { return block(id).owner; }  // of a block that is not free

  BlockState state(BlockId id) const { return block(id).state; }
  uint32_t n_refs(BlockId id) const { return block(id).n_refs; }
  // Grows by one each time the block is handed out, so that a stale id can be detected.
  uint32_t generation(BlockId id) const { return block(id).generation; }

  // The number of the first invariant that does not hold, or 0. `full` walks every block.
  int check_invariants(bool full) const;

 private:
  friend class BlockRef;
  friend class BlockReservation;
  struct Block {
    uint32_t n_refs = 0;
    uint32_t generation = 0;
    BlockState state = BlockState::kFree;
    bool is_kept = false;
    int32_t owner = 0;  // the tenant that the block is charged to
  };

  Block& block(BlockId id);
  const Block& block(BlockId id) const;
  void set_state(Block& block, BlockState to);
  BlockRef hand_out(int32_t tenant);
  void add_ref(BlockId id);
  void drop_ref(BlockId id);
  bool blocks_are_sound() const;
  bool ledger_is_sound() const;

  std::vector<Block> blocks_;
  std::vector<BlockId> free_;  // a stack: the block freed last is handed out first
  std::array<int32_t, kNBlockStates> n_by_state_{};
  int32_t n_reserved_ = 0;
  TenantLedger ledger_;
  CachedBlockWatcher* watcher_ = nullptr;
};

}  // namespace lockstep
