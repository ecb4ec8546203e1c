// BlockStore: the bytes of one rank's KV blocks, all layers, in one allocation made at start. Maps
// a block id to memory and knows nothing about who uses it; the same id names a rank's own shard
// (its KV heads) on every rank. Used by that rank's thread.
//
//   | layer 0: block 0 | block 1 | … | layer 1: block 0 | block 1 | … |
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/ids.h"
#include "common/memory/buffer.h"
#include "kernels/ops.h"

namespace lockstep {

struct BlockStoreShape {
  DType dtype = DType::kF16;
  int n_layers = 0;
  int32_t n_blocks = 0;
  int32_t block_size = 16;  // tokens
  int n_kv_heads = 0;       // of this rank
  int head_dim = 0;
  MemoryTag tag = MemoryTag::kKv;  // that the bytes are counted under
};

// Bytes of one block over all layers.
int64_t kv_bytes_per_block(const BlockStoreShape& shape);

class BlockStore {
 public:
  // Throws LoadError naming the numbers when the memory cannot be had.
  BlockStore(const BlockStoreShape& shape, MemoryLedger& ledger);

  KvPages pages(int layer) const;
  // One layer's part of a block.
  std::span<std::byte> bytes_of(BlockId block, int layer);
  // Every value of the block, in every layer: all bits set is a NaN in each type (q8_0: the
  // scales).
  void fill_with_nan(BlockId block);
  int64_t bytes() const { return buffer_.bytes(); }
  const BlockStoreShape& shape() const { return shape_; }

 private:
  BlockStoreShape shape_;
  int64_t block_bytes_;  // of one layer
  Buffer buffer_;
};

}  // namespace lockstep
