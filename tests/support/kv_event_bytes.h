// The bytes of batches of KV events, as a node publishes them, for tests that read such batches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wire/codec/kv_event_batch.h"
#include "wire/codec/kv_events.h"

namespace lockstep::testing {

// Encodes `batch` as a node does. Decoded batches have no tokens: each block gets tokens that
// follow from its hash. `salt` is that of the blocks that begin a prefix.
inline std::string encoded_kv_events(const wire::KvEventBatch& batch,
                                     const std::string& salt = "") {
  std::string out;
  wire::KvEventWriter writer(out, batch.unix_seconds, batch.epoch, batch.events.size());
  for (const wire::KvEvent& event : batch.events) {
    const auto hashes = batch.hashes_of(event);
    if (event.kind == wire::KvEvent::Kind::kCleared) {
      writer.cleared();
    } else if (event.kind == wire::KvEvent::Kind::kRemoved) {
      writer.removed(hashes);
    } else {
      std::vector<int32_t> tokens;
      for (size_t i = 0; i < hashes.size() * static_cast<size_t>(event.block_size); ++i) {
        tokens.push_back(static_cast<int32_t>((hashes[0] + i) % 150'000));
      }
      writer.stored({.hashes = hashes,
                     .parent = event.parent,
                     .tokens = tokens,
                     .block_size = event.block_size,
                     .salt = salt});
    }
  }
  writer.finish();
  return out;
}

// Appends events to a batch.
inline void add_stored(wire::KvEventBatch& batch, std::optional<uint64_t> parent,
                       const std::vector<uint64_t>& hashes, int64_t block_size = 16) {
  batch.events.push_back({.kind = wire::KvEvent::Kind::kStored,
                          .parent = parent,
                          .first = batch.hashes.size(),
                          .n_hashes = hashes.size(),
                          .block_size = block_size});
  batch.hashes.insert(batch.hashes.end(), hashes.begin(), hashes.end());
}
inline void add_removed(wire::KvEventBatch& batch, const std::vector<uint64_t>& hashes) {
  batch.events.push_back({.kind = wire::KvEvent::Kind::kRemoved,
                          .parent = {},
                          .first = batch.hashes.size(),
                          .n_hashes = hashes.size()});
  batch.hashes.insert(batch.hashes.end(), hashes.begin(), hashes.end());
}
inline void add_cleared(wire::KvEventBatch& batch) {
  batch.events.push_back(
      {.kind = wire::KvEvent::Kind::kCleared, .parent = {}, .first = batch.hashes.size()});
}

}  // namespace lockstep::testing
