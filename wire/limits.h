// The limits of messages and of their fields, each once, for every door a request can come through:
// HTTP at the coordinator and ZeroMQ at a node. What an outer door lets in fits the inner ones:
//
//   HTTP body   ≤ kMaxBodyBytes  <  message ≤ kMaxMessageBytes  <  frame ≤ kMaxFrameBytes
//   JSON values ≤ kMaxJsonValues <  values of a message ≤ kMaxValues
//
// Both count values alike: every key, item, map and list. What is sent is checked against the
// reader's limits first (sendable.h). Sampling's ranges are in common/sampling_ranges.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lockstep::wire {

// The largest HTTP body. Text and ids are never longer as MessagePack than as JSON, so that only
// the fields that the body left out come on top, and the tenant, model and ids that we write.
inline constexpr size_t kMaxBodyBytes = size_t{16} << 20;
// The largest message that decode() takes.
inline constexpr size_t kMaxMessageBytes = kMaxBodyBytes + (size_t{1} << 20);
// A longer frame costs its sender the connection and all that runs over it, so this is larger than
// what decode() takes: in between the sender gets an error reply and keeps its other streams.
inline constexpr size_t kMaxFrameBytes = kMaxMessageBytes + (size_t{1} << 20);

inline constexpr int kMaxDepth = 64;  // of containers, in JSON and in MessagePack
inline constexpr size_t kMaxValues = size_t{1} << 20;
inline constexpr size_t kMaxJsonValues = kMaxValues - 1024;  // what a body leaves out, as above

inline constexpr size_t kMaxRequestIdBytes = 128;
inline constexpr size_t kMaxModelNameBytes = 256;
inline constexpr size_t kMaxCacheSaltBytes = 256;
inline constexpr size_t kMaxTenantBytes = 64;
inline constexpr int64_t kMaxPriority = INT32_MAX;
inline constexpr int64_t kMaxDeadlineMs = INT32_MAX;
inline constexpr int64_t kMaxRetentionPriority = 100;
inline constexpr int64_t kMaxRetentionSeconds = 31'536'000;  // a year

}  // namespace lockstep::wire
