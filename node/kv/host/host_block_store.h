// HostBlockStore: the bytes of one rank's host blocks, each with what a KV block of that rank held
// in all its layers, and a checksum over the bytes and the tag that they were stored under. What is
// loaded is verified first: a bit that flipped, or a block that holds something else, is found
// before anything is computed from it. Used by that rank's thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/ids.h"
#include "common/memory/buffer.h"
#include "node/kv/block_store.h"

namespace lockstep {

// Of bytes, and of what they are said to be. A single bit that differs always changes it. n_bytes
// is a multiple of 8, as a KV block's always is.
uint64_t block_checksum(std::span<const std::byte> bytes, uint64_t seed);

class HostBlockStore {
 public:
  // n_blocks blocks for what `device`, which must outlive it, holds. Throws LoadError naming the
  // numbers when the memory cannot be had.
  HostBlockStore(int32_t n_blocks, BlockStore& device, MemoryLedger& ledger);

  void store(BlockId from, HostBlockId to, uint64_t tag);
  // False, and nothing is written: that is not what was stored under this tag.
  [[nodiscard]] bool load(HostBlockId from, uint64_t tag, BlockId to);

  // The block's bytes, all layers one after another.
  std::span<std::byte> bytes_of(HostBlockId block);

 private:
  BlockStore& device_;
  int64_t block_bytes_;  // of all layers
  int32_t n_blocks_;
  Buffer buffer_;
  std::vector<uint64_t> checksums_;  // [n_blocks]
};

}  // namespace lockstep
