// BlockEvent, BlockEventSink: the KV cache events (vLLM's BlockStored, BlockRemoved). The prefix
// index reports a block as stored when its prefix can be reused, and as removed when the prefix
// cannot be reused any more. A block is named by the hash of the whole prefix that ends with it
// (node/kv/index/prefix_index.h), so that a router can find it by a prompt alone. Sinks are called
// on the engine thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// One stored block. Its views are valid during the call only.
struct StoredBlock {
  uint64_t hash = 0;
  std::optional<uint64_t> parent;   // hash of the block before it; none: the first of its prefix
  std::span<const int32_t> tokens;  // [block_size]
  std::string_view salt;            // of the prefix; empty: none
};

// Receives the events on the engine thread; must not block. A parent is stored before its children
// and removed after them.
class BlockEventSink {
 public:
  virtual ~BlockEventSink() = default;
  virtual void stored(const StoredBlock& block) = 0;
  virtual void removed(uint64_t hash) = 0;
  // The engine's turn is over. The events since the last call form one batch.
  virtual void end_turn() = 0;
};

// Consecutive blocks of one kind of event.
struct BlockEvent {
  enum class Kind : uint8_t { kStored, kRemoved, kCleared };
  Kind kind = Kind::kStored;
  std::vector<uint64_t> hashes;  // kStored: each is the parent of the next
  // The following are set for kStored only.
  std::optional<uint64_t> parent;  // hash of the block before hashes[0]
  std::vector<int32_t> tokens;     // [n_hashes, block_size]
  std::string salt;
};

// Appends to `events`. A block that continues the last event is added to that event.
void append_stored(std::vector<BlockEvent>& events, const StoredBlock& block);
void append_removed(std::vector<BlockEvent>& events, uint64_t hash);

}  // namespace lockstep
