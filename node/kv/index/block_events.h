// What becomes of the prefix cache's blocks, told as it happens: stored when a prefix can be reused
// in every KV group, removed when it cannot any more. A block is named by the hash of the whole
// prefix that ends with it (node/kv/index/prefix_index.h), so that a router can find it by a prompt
// alone.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// Good during the call only.
struct StoredBlock {
  uint64_t hash = 0;
  std::optional<uint64_t> parent;   // of the block before it; none: the first of its prefix
  std::span<const int32_t> tokens;  // [block_size]
  std::string_view salt;            // of the prefix; empty: none
};

// Told by the engine thread; must not block. Parents are stored before and removed after their
// children.
class BlockEventSink {
 public:
  virtual ~BlockEventSink() = default;
  virtual void stored(const StoredBlock& block) = 0;
  virtual void removed(uint64_t hash) = 0;
  // The engine's turn is over: what was told since the last call belongs together.
  virtual void end_turn() = 0;
};

// One or more blocks with the same fate, one after another.
struct BlockEvent {
  enum class Kind : uint8_t { kStored, kRemoved, kCleared };
  Kind kind = Kind::kStored;
  std::vector<uint64_t> hashes;  // stored: each the parent of the next
  // Of stored ones:
  std::optional<uint64_t> parent;  // of hashes[0]
  std::vector<int32_t> tokens;     // [n_hashes, block_size]
  std::string salt;
};

// As few events as possible: what continues the last one is added to it.
void append_stored(std::vector<BlockEvent>& events, const StoredBlock& block);
void append_removed(std::vector<BlockEvent>& events, uint64_t hash);

}  // namespace lockstep
