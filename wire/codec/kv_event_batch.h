// Decodes batches of KV events as a coordinator needs them: which blocks came and went, without
// their tokens and salts. No tree is built. Any bytes give a batch or an error, in time and memory
// linear in their number. kv_events.h encodes; docs/wire-protocol.md, section 6, explains the
// fields. Fields of later versions are skipped, and so are blocks in other memory than the one that
// attention reads, and of other KV cache groups than the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace lockstep::wire {

struct KvEvent {
  enum class Kind : uint8_t { kStored, kRemoved, kCleared };
  Kind kind = Kind::kCleared;
  std::optional<uint64_t>
      parent;  // kStored: of the first hash; each hash is the parent of the next
  size_t first = 0, n_hashes = 0;  // in KvEventBatch::hashes; none for kCleared
  int64_t block_size = 0;          // kStored

  friend bool operator==(const KvEvent&, const KvEvent&) = default;
};

struct KvEventBatch {
  double unix_seconds = 0;
  uint64_t epoch = 0;  // of the node, as in `welcome`
  std::vector<KvEvent> events;
  std::vector<uint64_t> hashes;  // of all events

  std::span<const uint64_t> hashes_of(const KvEvent& event) const {
    return std::span(hashes).subspan(event.first, event.n_hashes);
  }
  friend bool operator==(const KvEventBatch&, const KvEventBatch&) = default;
};

// Decodes into `batch`, whose memory is used again. After an error, which names the field, `batch`
// holds nothing of use. Errors: kInvalidRequest.
Status decode_kv_events(std::string_view bytes, KvEventBatch& batch);

}  // namespace lockstep::wire
