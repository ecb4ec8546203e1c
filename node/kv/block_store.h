// BlockStore: the bytes of one rank's KV blocks, all layers, in one allocation on the rank's
// device, made at start. Maps a block id to memory and knows nothing of sequences or references. On
// every rank one id names the rank's own shard of the block (its KV heads). Used by that rank's
// thread.
//
//   | layer 0: block 0 | block 1 | … | layer 1: block 0 | block 1 | … |
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/ids.h"
#include "kernels/device.h"

namespace lockstep {

struct BlockStoreShape {
  DType dtype = DType::kF16;
  int n_layers = 0;
  int32_t n_blocks = 0;
  int32_t block_size = 16;  // tokens
  int n_kv_heads = 0;       // of this rank
  int head_dim = 0;
  MemoryTag tag = MemoryTag::kKv;  // the MemoryLedger counts the bytes under this tag
};

// Bytes of one block over all layers.
int64_t kv_bytes_per_block(const BlockStoreShape& shape);

class BlockStore {
 public:
  // Throws OutOfMemory naming the sizes if the memory cannot be allocated.
  BlockStore(const BlockStoreShape& shape, Device& device, MemoryLedger& ledger);

  KvPages pages(int layer) const;
  // The copy of a block between the device and `host`, where its layers follow each other.
  CopyArgs copy_of(BlockId block, std::byte* host) const;
  // Sets all bits of the block in every layer, which is a NaN in each dtype (q8_0: in the scales).
  void fill_with_nan(BlockId block, Stream& stream);
  int64_t bytes() const { return buffer_.bytes(); }
  const BlockStoreShape& shape() const { return shape_; }

 private:
  int64_t layer_stride() const { return shape_.n_blocks * block_bytes_; }  // bytes
  // Where the block lies in layer 0.
  std::byte* at(BlockId block) const;

  BlockStoreShape shape_;
  int64_t block_bytes_;  // of one layer
  DeviceBuffer buffer_;
};

}  // namespace lockstep
