// HostBlockStore: the bytes of one rank's host blocks. A host block holds what one KV block of that
// rank held in all layers; the store keeps a checksum over those bytes and the tag they were stored
// under. load() verifies the checksum first, so a flipped bit, or a block with other content, is
// found before anything is computed from it. Copies go through the rank's stream. Used by that
// rank's thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/ids.h"
#include "kernels/device.h"
#include "node/kv/block_store.h"

namespace lockstep {

class HostBlockStore {
 public:
  // Allocates n_blocks host blocks for the blocks of `kv` on `device`, and the bookkeeping of
  // max_pending stores that are queued and not finished. References must outlive the store;
  // `stream` is one of the device. Throws LoadError naming the sizes if the memory cannot be
  // allocated.
  HostBlockStore(int32_t n_blocks, int32_t max_pending, const BlockStore& kv, Device& device,
                 Stream& stream, MemoryLedger& ledger);

  // Queues the copy of a block to host memory. finish_stores() computes its checksum.
  void store(BlockId from, HostBlockId to, uint64_t tag);
  uint64_t n_stored() const { return n_finished_ + pending_.size(); }  // ever
  // Computes the checksums of the first n of all stores ever queued. Their copies must be done.
  void finish_stores(uint64_t n);
  // Whether a store of the block is not finished.
  bool is_pending(HostBlockId block) const {
    return n_pending_[static_cast<size_t>(raw(block))] != 0;
  }
  // Queues the copy of a host block to the device. Returns false and queues nothing if the host
  // block is not what was stored under this tag. Waits for the stream if is_pending(): a caller
  // whose stream may hang waits in its own way first, and finishes the stores.
  [[nodiscard]] bool load(HostBlockId from, uint64_t tag, BlockId to);

  // The bytes of a host block, layer after layer.
  std::span<std::byte> bytes_of(HostBlockId block);

 private:
  struct Pending {
    HostBlockId block{};
    uint64_t tag = 0;
  };

  const BlockStore& kv_;
  Stream& stream_;
  int64_t block_bytes_;  // of all layers
  int32_t n_blocks_;
  HostBuffer buffer_;
  std::vector<uint64_t> checksums_;  // [n_blocks], hash64 of the bytes and the tag
  std::vector<Pending> pending_;     // stores without checksum, oldest first
  std::vector<uint32_t> n_pending_;  // [n_blocks], stores of each block in pending_
  uint64_t n_finished_ = 0;          // stores
};

}  // namespace lockstep
