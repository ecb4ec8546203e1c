// BlockTable: the blocks that hold one sequence's keys and values, in order of position. Takes new
// blocks from its own reservation, which can be extended. Engine thread only.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "node/kv/pool/block_pool.h"

namespace lockstep {

// Blocks that n_tokens positions need.
constexpr int32_t n_blocks_for(int64_t n_tokens, int32_t block_size) {
  return static_cast<int32_t>((n_tokens + block_size - 1) / block_size);
}

class BlockTable {
 public:
  // Begins with `shared` blocks, which already hold the sequence's first tokens and are not written
  // to again, and a reservation for further blocks. Allocates host memory for max_blocks now, so
  // that grow() does not allocate.
  void start(BlockReservation reservation, int32_t block_size, int32_t max_blocks,
             std::vector<BlockRef> shared = {});
  // Adds `more`, which must be of the same pool and tenant, to the reservation.
  void extend(BlockReservation more) { reservation_.merge(std::move(more)); }
  // Takes reserved blocks until `n_tokens` positions are covered.
  void grow(int32_t n_tokens);
  // Drops the references and returns what is left of the reservation.
  void clear();

  std::span<const BlockId> ids() const { return ids_; }
  int32_t n_blocks() const { return static_cast<int32_t>(ids_.size()); }
  int32_t n_blocks_reserved() const { return reservation_.n_blocks_left(); }  // not taken yet
  int64_t n_slots() const { return int64_t{n_blocks()} * block_size_; }       // positions covered

 private:
  BlockReservation reservation_;
  int32_t block_size_ = 0;
  std::vector<BlockRef> blocks_;
  std::vector<BlockId> ids_;  // of blocks_; contiguous, as a StepPlan stores them
};

}  // namespace lockstep
