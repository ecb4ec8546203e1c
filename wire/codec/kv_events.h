// Encodes KV events in the format of vLLM 0.32, so that its readers and other routers can follow
// Lockstep nodes. A batch is an array; an event is a map with its type in "type". The frames around
// a batch are both written and read here; kv_event_batch.h decodes batches. docs/wire-protocol.md,
// section 6, explains the fields.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wire/codec/msgpack_writer.h"

namespace lockstep::wire {

inline constexpr size_t kKvBatchElements = 4;  // time, events, data-parallel rank, epoch
inline constexpr std::string_view kKvStored = "BlockStored", kKvRemoved = "BlockRemoved",
                                  kKvCleared = "AllBlocksCleared";
// vLLM's name for the memory that attention reads. Its readers look for this name, so CPU nodes use
// it too.
inline constexpr std::string_view kKvMedium = "GPU";
// What requests a snapshot: eight bytes like a number, with a value that no node reaches.
inline constexpr std::string_view kKvSnapshotRequest = "snapshot";
inline constexpr uint64_t kKvEnd = ~uint64_t{0};  // -1, the number of the last answer

// The views must stay valid during the call only.
struct KvBlocksStored {
  std::span<const uint64_t> hashes;  // each the parent of the next
  std::optional<uint64_t> parent;    // of hashes[0]
  std::span<const int32_t> tokens;   // [n_hashes, block_size]
  int64_t block_size = 0;
  std::string_view salt;  // the prefix's cache_salt; empty = none
};

// KvEventWriter: appends the events of one batch to `out`. Exactly `n_events` events must follow
// the construction.
class KvEventWriter {
 public:
  KvEventWriter(std::string& out, double unix_seconds, uint64_t epoch, size_t n_events);

  void stored(const KvBlocksStored& blocks);
  void removed(std::span<const uint64_t> hashes);
  void cleared();
  void finish();  // to be called after the last event

 private:
  MsgpackWriter out_;
  const uint64_t epoch_;
  size_t n_left_;
};

// Encodes a sequence number for its frame: 8 bytes, big-endian.
std::string encode_kv_sequence(uint64_t seq);
// Returns nullopt unless the frame has 8 bytes.
std::optional<uint64_t> decode_kv_sequence(std::string_view frame);

// One message of the live events or of an answer to a request for a replay or a snapshot. The views
// are those of the frames.
struct KvEventMessage {
  std::string_view topic;
  uint64_t seq = 0;
  std::string_view batch;
  bool is_end = false;  // the end of an answer; the other fields have no meaning
};
// Reads the frames [topic, number, batch], before which an answer has an empty frame. nullopt:
// these are no such frames.
std::optional<KvEventMessage> read_kv_frames(std::span<const std::string_view> frames);

}  // namespace lockstep::wire
