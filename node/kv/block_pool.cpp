#include "node/kv/block_pool.h"

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

BlockPool::BlockPool(int32_t n_blocks) {
  CHECK(n_blocks >= 0);
  blocks_.resize(static_cast<size_t>(n_blocks));
  free_.reserve(blocks_.size());
  for (int32_t i = n_blocks - 1; i >= 0; --i) free_.push_back(BlockId{i});
  n_by_state_[static_cast<size_t>(BlockState::kFree)] = n_blocks;
}

BlockPool::~BlockPool() {
  CHECK_EQ(n_blocks_free(), n_blocks_total());
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

void BlockPool::add_ref(BlockId id) {
  Block& shared = block(id);
  CHECK(shared.n_refs > 0);
  ++shared.n_refs;
}

// The one place where a block becomes free.
void BlockPool::drop_ref(BlockId id) {
  Block& dropped = block(id);
  CHECK(dropped.n_refs > 0);
  if (--dropped.n_refs > 0) return;
  set_state(dropped, BlockState::kFree);
  free_.push_back(id);
}

int BlockPool::check_invariants(bool full) const {
  int32_t n_counted = 0;
  for (int32_t n : n_by_state_) n_counted += n;
  if (n_counted != n_blocks_total()) return 1;
  if (static_cast<int32_t>(free_.size()) != n_blocks_free()) return 2;
  if (n_reserved_ < 0 || n_reserved_ > n_blocks_free()) return 3;
  if (!full) return 0;

  std::vector<bool> listed(blocks_.size(), false);
  for (BlockId id : free_) {
    if (listed[static_cast<size_t>(raw(id))]) return 2;
    listed[static_cast<size_t>(raw(id))] = true;
  }
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const bool is_free = blocks_[i].state == BlockState::kFree;
    if (is_free != listed[i] || is_free != (blocks_[i].n_refs == 0)) return 2;
  }
  return 0;
}

}  // namespace lockstep
