// NodeResidency: the blocks that one node has cached, by its KV events: an index slot, which it
// owns, and what an entry of the index has no room for, the digest and further blocks of the same
// hash. Keeps the slot prefix-closed: a block is added after its parent only. I/O thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

#include "coordinator/index/kv_block_index.h"
#include "wire/codec/kv_event_batch.h"

namespace lockstep {

class NodeResidency {
 public:
  // No blocks, hidden. nullopt: the index has no free slot. The index must outlive the residency.
  static std::optional<NodeResidency> open(KvBlockIndex& index, size_t max_blocks);
  ~NodeResidency() { close(); }
  NodeResidency(NodeResidency&& other) noexcept { *this = std::move(other); }
  NodeResidency& operator=(NodeResidency&& other) noexcept;

  enum class Applied {
    kAll,
    kUnknownBlock,  // removed, or named as a parent, and not there
    kOverCapacity,  // more blocks than the node has
    kCleared,       // everything was to be cleared, which is the beginning of a snapshot only
  };
  // Applies the events of a batch in order, up to the first that cannot be right.
  Applied apply(const wire::KvEventBatch& batch);

  void show() { index_->show(slot_); }
  IndexSlot slot() const { return slot_; }
  // The sum of the hashes modulo 2^64, each as often as the node has a block with it.
  uint64_t digest() const { return digest_; }
  size_t n_blocks() const { return index_->n_blocks(slot_) + n_twins_; }

 private:
  NodeResidency(KvBlockIndex& index, IndexSlot slot, size_t max_blocks)
      : index_(&index), slot_(slot), max_blocks_(max_blocks) {}
  void close();
  Applied store(const wire::KvEvent& event, std::span<const uint64_t> hashes);
  Applied remove(std::span<const uint64_t> hashes);

  KvBlockIndex* index_ = nullptr;  // null: moved from
  IndexSlot slot_{};
  size_t max_blocks_ = 0;
  uint64_t digest_ = 0;
  // Hash -> blocks beyond the first that have it. Prompts can be made whose blocks collide
  // (docs/kv-cache.md); otherwise this is empty.
  std::unordered_map<uint64_t, size_t> twins_;
  size_t n_twins_ = 0;
};

}  // namespace lockstep
