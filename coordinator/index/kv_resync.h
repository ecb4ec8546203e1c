// KvResyncCause, KvRequest: what a NodeKvMirror requests from its node when events are missing or
// wrong, and why. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lockstep {

// Why batches or a snapshot are requested.
enum class KvResyncCause {
  kStart,         // the node joined or restarted
  kGap,           // a number is missing
  kLag,           // heartbeats name batches that did not come
  kHistory,       // the node no longer has the batches to be replayed
  kDigest,        // the digests at one number differ
  kEpoch,         // a batch of another life of the node
  kUnknownBlock,  // a block was removed, or named as a parent, that is not there
  kOverCapacity,  // the node reports more blocks than it has
  kMalformed,     // bytes that are no batch, or a snapshot that is none
  kNoAnswer,      // an answer did not come, or not to its end
};
inline constexpr size_t kKvResyncCauses = 10;
const char* cause_name(KvResyncCause cause);  // for metrics: "gap"

struct KvRequest {
  enum class Kind { kReplay, kSnapshot };
  Kind kind = Kind::kSnapshot;
  uint64_t id = 0;     // for on_answer(); of the next request, one more
  uint64_t first = 0;  // kReplay: the first number

  friend bool operator==(const KvRequest&, const KvRequest&) = default;
};

}  // namespace lockstep
