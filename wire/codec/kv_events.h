// Encodes KV events in the format of vLLM 0.32, so that its readers and other routers can follow
// Lockstep nodes. A batch is an array; an event is a map with its type in "type". Encoding only;
// docs/wire-protocol.md, section 6, explains the fields.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wire/codec/msgpack_writer.h"

namespace lockstep::wire {

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

}  // namespace lockstep::wire
