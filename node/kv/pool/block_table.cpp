#include "node/kv/pool/block_table.h"

#include <utility>

#include "common/check.h"

namespace lockstep {

void BlockTable::start(BlockReservation reservation, int32_t block_size, int32_t max_blocks,
                       std::vector<BlockRef> shared) {
  CHECK(blocks_.empty() && block_size > 0);
  reservation_ = std::move(reservation);
  block_size_ = block_size;
  blocks_ = std::move(shared);
  blocks_.reserve(static_cast<size_t>(max_blocks));
  ids_.reserve(static_cast<size_t>(max_blocks));
  for (const BlockRef& block : blocks_) ids_.push_back(block.id());
}

void BlockTable::grow(int32_t n_tokens) {
  while (n_slots() < n_tokens) {
    blocks_.push_back(reservation_.take());
    ids_.push_back(blocks_.back().id());
  }
}

void BlockTable::clear() {
  blocks_.clear();
  ids_.clear();
  reservation_ = BlockReservation();
}

}  // namespace lockstep
