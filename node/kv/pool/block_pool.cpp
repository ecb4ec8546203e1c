#include "node/kv/pool/block_pool.h"

#include <utility>

#include "common/check.h"

namespace lockstep {

BlockRef::BlockRef(const BlockRef& other) : pool_(other.pool_), id_(other.id_) {
  if (pool_ != nullptr) pool_->add_ref(id_);
}

BlockRef& BlockRef::operator=(BlockRef other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(id_, other.id_);
  return *this;
}

BlockRef::~BlockRef() {
  if (pool_ != nullptr) pool_->drop_ref(id_);
}

BlockReservation& BlockReservation::operator=(BlockReservation&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(n_left_, other.n_left_);
  std::swap(tenant_, other.tenant_);
  return *this;
}

BlockReservation::~BlockReservation() {
  if (pool_ == nullptr) return;
  pool_->n_reserved_ -= n_left_;
  pool_->ledger_.give_back(tenant_, n_left_);
}

BlockRef BlockReservation::take() {
  CHECK(n_left_ > 0);
  --n_left_;
  --pool_->n_reserved_;
  return pool_->hand_out(tenant_);
}

void BlockReservation::merge(BlockReservation other) {
  CHECK(pool_ != nullptr && pool_ == other.pool_ && tenant_ == other.tenant_);
  n_left_ += std::exchange(other.n_left_, 0);
}

BlockPool::BlockPool(int32_t n_blocks, std::span<const TenantConfig> tenants)
    : ledger_(n_blocks, tenants) {
  CHECK(n_blocks >= 0);
  blocks_.resize(static_cast<size_t>(n_blocks));
  free_.reserve(blocks_.size());
  for (int32_t i = n_blocks - 1; i >= 0; --i) free_.push_back(BlockId{i});
  n_by_state_[static_cast<size_t>(BlockState::kFree)] = n_blocks;
}

BlockPool::~BlockPool() {
  CHECK_EQ(n_blocks(BlockState::kActive), 0);
  CHECK_EQ(n_reserved_, 0);
}

std::optional<BlockReservation> BlockPool::reserve(int32_t n_blocks, int32_t tenant) {
  CHECK(n_blocks >= 0);
  if (!can_reserve(n_blocks, tenant)) return std::nullopt;
  n_reserved_ += n_blocks;
  ledger_.take(tenant, n_blocks);
  return BlockReservation(*this, n_blocks, tenant);
}

BlockPool::Block& BlockPool::block(BlockId id) {
  CHECK(raw(id) >= 0 && raw(id) < n_blocks_total());
  return blocks_[static_cast<size_t>(raw(id))];
}

const BlockPool::Block& BlockPool::block(BlockId id) const {
  CHECK(raw(id) >= 0 && raw(id) < n_blocks_total());
  return blocks_[static_cast<size_t>(raw(id))];
}

void BlockPool::set_state(Block& block, BlockState to) {
  --n_by_state_[static_cast<size_t>(block.state)];
  ++n_by_state_[static_cast<size_t>(to)];
  block.state = to;
}

BlockRef BlockPool::hand_out(int32_t tenant) {
  CHECK(!free_.empty());
  const BlockId id = free_.back();
  free_.pop_back();
  Block& taken = block(id);
  set_state(taken, BlockState::kActive);
  taken.n_refs = 1;
  taken.owner = tenant;
  ++taken.generation;
  return BlockRef(*this, id);
}

void BlockPool::keep(BlockId id) {
  Block& kept = block(id);
  CHECK(kept.n_refs > 0 && !kept.is_kept);
  kept.is_kept = true;
}

BlockRef BlockPool::share(BlockId id, int32_t tenant) {
  Block& shared = block(id);
  CHECK(shared.is_kept);
  if (shared.state == BlockState::kCached) {
    CHECK(n_blocks_available(tenant) > 0);
    ledger_.add_cached(shared.owner, -1);
    ledger_.take(tenant, 1);
    shared.owner = tenant;
    set_state(shared, BlockState::kActive);
    if (watcher_ != nullptr) watcher_->on_shared(id);
  }
  ++shared.n_refs;
  return BlockRef(*this, id);
}

void BlockPool::evict(BlockId id) {
  Block& evicted = block(id);
  CHECK(evicted.state == BlockState::kCached);
  ledger_.add_cached(evicted.owner, -1);
  evicted.is_kept = false;
  set_state(evicted, BlockState::kFree);
  free_.push_back(id);
}

void BlockPool::swap_owners(BlockId a, BlockId b) {
  CHECK(state(a) == BlockState::kCached && state(b) == BlockState::kCached);
  std::swap(block(a).owner, block(b).owner);
}

void BlockPool::add_ref(BlockId id) {
  Block& shared = block(id);
  CHECK(shared.n_refs > 0);
  ++shared.n_refs;
}

// No other function drops a reference of a block.
void BlockPool::drop_ref(BlockId id) {
  Block& dropped = block(id);
  CHECK(dropped.n_refs > 0);
  if (--dropped.n_refs > 0) return;
  ledger_.give_back(dropped.owner, 1);
  if (dropped.is_kept) {
    set_state(dropped, BlockState::kCached);
    ledger_.add_cached(dropped.owner, 1);
    if (watcher_ != nullptr) watcher_->on_cached(id);
  } else {
    set_state(dropped, BlockState::kFree);
    free_.push_back(id);
  }
}

int BlockPool::check_invariants(bool full) const {
  int32_t n_counted = 0;
  for (int32_t n : n_by_state_) n_counted += n;
  if (n_counted != n_blocks_total()) return 1;
  if (static_cast<int32_t>(free_.size()) != n_blocks_free()) return 2;
  if (n_reserved_ < 0 || n_reserved_ > n_blocks_free() + n_blocks_cached()) return 3;
  if (ledger_.check_invariants() != 0) return 3;
  if (full && !blocks_are_sound()) return 2;
  return full && !ledger_is_sound() ? 3 : 0;
}

bool BlockPool::blocks_are_sound() const {
  std::vector<bool> is_listed(blocks_.size(), false);
  for (BlockId id : free_) {
    if (is_listed[static_cast<size_t>(raw(id))]) return false;
    is_listed[static_cast<size_t>(raw(id))] = true;
  }
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& b = blocks_[i];
    if (is_listed[i] != (b.state == BlockState::kFree)) return false;
    if ((b.n_refs > 0) != (b.state == BlockState::kActive)) return false;
    if (b.is_kept && b.state == BlockState::kFree) return false;
    if (!b.is_kept && b.state == BlockState::kCached) return false;
  }
  return true;
}

// The pool does not count reservations by tenant, so only their sum can be compared.
bool BlockPool::ledger_is_sound() const {
  std::vector<int32_t> n_active(static_cast<size_t>(ledger_.n_tenants()), 0);
  std::vector<int32_t> n_cached(n_active.size(), 0);
  for (const Block& b : blocks_) {
    if (b.state == BlockState::kActive) ++n_active[static_cast<size_t>(b.owner)];
    if (b.state == BlockState::kCached) ++n_cached[static_cast<size_t>(b.owner)];
  }
  int32_t n_reserved = 0;
  for (size_t t = 0; t < n_active.size(); ++t) {
    const auto tenant = static_cast<int32_t>(t);
    if (ledger_.n_cached(tenant) != n_cached[t]) return false;
    if (ledger_.n_used(tenant) < n_active[t]) return false;
    n_reserved += ledger_.n_used(tenant) - n_active[t];
  }
  return n_reserved == n_reserved_;
}

}  // namespace lockstep
