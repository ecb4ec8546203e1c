#include "node/kv/block_pool.h"

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

BlockPromise& BlockPromise::operator=(BlockPromise&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(n_left_, other.n_left_);
  return *this;
}

BlockPromise::~BlockPromise() {
  if (pool_ != nullptr) pool_->n_reserved_ -= n_left_;
}

BlockRef BlockPromise::take() {
  CHECK(n_left_ > 0);
  --n_left_;
  --pool_->n_reserved_;
  return pool_->hand_out();
}

void BlockPromise::merge(BlockPromise other) {
  CHECK(pool_ != nullptr && pool_ == other.pool_);
  n_left_ += std::exchange(other.n_left_, 0);
}

BlockPool::BlockPool(int32_t n_blocks) {
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

std::optional<BlockPromise> BlockPool::reserve(int32_t n_blocks) {
  CHECK(n_blocks >= 0);
  if (n_blocks > n_blocks_available()) return std::nullopt;
  n_reserved_ += n_blocks;
  return BlockPromise(*this, n_blocks);
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

BlockRef BlockPool::hand_out() {
  CHECK(!free_.empty());
  const BlockId id = free_.back();
  free_.pop_back();
  Block& taken = block(id);
  set_state(taken, BlockState::kActive);
  taken.n_refs = 1;
  ++taken.generation;
  return BlockRef(*this, id);
}

void BlockPool::keep(BlockId id) {
  Block& kept = block(id);
  CHECK(kept.n_refs > 0 && !kept.is_kept);
  kept.is_kept = true;
}

BlockRef BlockPool::share(BlockId id) {
  Block& shared = block(id);
  CHECK(shared.is_kept);
  if (shared.state == BlockState::kCached) {
    CHECK(n_blocks_available() > 0);
    unlink_cached(id);
    set_state(shared, BlockState::kActive);
  }
  ++shared.n_refs;
  return BlockRef(*this, id);
}

BlockId BlockPool::oldest_cached() const {
  CHECK(oldest_cached_ >= 0);
  return BlockId{oldest_cached_};
}

void BlockPool::evict(BlockId id) {
  Block& evicted = block(id);
  CHECK(evicted.state == BlockState::kCached);
  unlink_cached(id);
  evicted.is_kept = false;
  set_state(evicted, BlockState::kFree);
  free_.push_back(id);
}

void BlockPool::add_ref(BlockId id) {
  Block& shared = block(id);
  CHECK(shared.n_refs > 0);
  ++shared.n_refs;
}

// The one place where a block stops being referenced.
void BlockPool::drop_ref(BlockId id) {
  Block& dropped = block(id);
  CHECK(dropped.n_refs > 0);
  if (--dropped.n_refs > 0) return;
  if (dropped.is_kept) {
    set_state(dropped, BlockState::kCached);
    append_cached(id);
  } else {
    set_state(dropped, BlockState::kFree);
    free_.push_back(id);
  }
}

void BlockPool::append_cached(BlockId id) {
  Block& appended = block(id);
  appended.older = newest_cached_;
  appended.newer = -1;
  (newest_cached_ >= 0 ? block(BlockId{newest_cached_}).newer : oldest_cached_) = raw(id);
  newest_cached_ = raw(id);
}

void BlockPool::unlink_cached(BlockId id) {
  Block& removed = block(id);
  (removed.older >= 0 ? block(BlockId{removed.older}).newer : oldest_cached_) = removed.newer;
  (removed.newer >= 0 ? block(BlockId{removed.newer}).older : newest_cached_) = removed.older;
  removed.older = removed.newer = -1;
}

int BlockPool::check_invariants(bool full) const {
  int32_t n_counted = 0;
  for (int32_t n : n_by_state_) n_counted += n;
  if (n_counted != n_blocks_total()) return 1;
  if (static_cast<int32_t>(free_.size()) != n_blocks_free()) return 2;
  if (n_reserved_ < 0 || n_blocks_available() < 0) return 3;
  return full && !lists_are_sound() ? 2 : 0;
}

bool BlockPool::lists_are_sound() const {
  std::vector<BlockState> listed(blocks_.size(), BlockState::kActive);
  const auto list = [&](BlockId id, BlockState state) {  // false if it is on a list already
    return std::exchange(listed[static_cast<size_t>(raw(id))], state) == BlockState::kActive;
  };
  for (BlockId id : free_) {
    if (!list(id, BlockState::kFree)) return false;
  }
  for (int32_t i = oldest_cached_, older = -1; i >= 0;
       older = std::exchange(i, block(BlockId{i}).newer)) {
    if (block(BlockId{i}).older != older || !list(BlockId{i}, BlockState::kCached)) return false;
  }
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& b = blocks_[i];
    if (b.state != listed[i] || (b.n_refs > 0) != (b.state == BlockState::kActive)) return false;
    if ((b.state == BlockState::kCached && !b.is_kept) ||
        (b.state == BlockState::kFree && b.is_kept)) {
      return false;
    }
  }
  return true;
}

}  // namespace lockstep
