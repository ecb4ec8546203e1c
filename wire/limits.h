// The limits of messages and of their fields, each defined once. They apply to requests over HTTP
// at the coordinator and over ZeroMQ at a coordinator or a node. A request within an outer limit is
// within the inner limits too:
//
//   HTTP body   ≤ kMaxBodyBytes  <  message ≤ kMaxMessageBytes  <  frame ≤ kMaxFrameBytes
//   JSON values ≤ kMaxJsonValues <  values of a message ≤ kMaxValues
//
// JSON and MessagePack values are counted alike: every key, item, map and list is a value. A sender
// checks a message against the reader's limits first (sendable.h). The ranges of the sampling
// parameters are in common/sampling_ranges.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/ranges.h"

namespace lockstep::wire {

// The largest HTTP body. Text and ids are never longer as MessagePack than as JSON. A message is
// therefore larger than its body only by the fields that the body leaves out, and by the tenant,
// model and ids that the coordinator writes.
inline constexpr size_t kMaxBodyBytes = size_t{16} << 20;
// The largest message that decode() accepts.
inline constexpr size_t kMaxMessageBytes = kMaxBodyBytes + (size_t{1} << 20);
// ZeroMQ closes the connection of a peer that sends a longer frame, and all its streams are lost.
// The limit is therefore larger than that of decode(): for a message between the two limits, the
// sender gets an error reply and keeps its other streams.
inline constexpr size_t kMaxFrameBytes = kMaxMessageBytes + (size_t{1} << 20);

inline constexpr int kMaxDepth = 64;  // nested containers, in JSON and in MessagePack
inline constexpr size_t kMaxValues = size_t{1} << 20;
// Smaller, because a message has the fields that the body leaves out as well.
inline constexpr size_t kMaxJsonValues = kMaxValues - 1024;

inline constexpr size_t kMaxRequestIdBytes = 128;
inline constexpr size_t kMaxModelNameBytes = 256;
inline constexpr size_t kMaxCacheSaltBytes = 256;
inline constexpr size_t kMaxPromptCacheKeyBytes = 256;
inline constexpr size_t kMaxTenantBytes = 64;
inline constexpr IntegerRange kPriorityRange{.low = 0, .high = INT32_MAX};
inline constexpr IntegerRange kDeadlineMsRange{.low = 1, .high = INT32_MAX};
inline constexpr IntegerRange kRetentionPriorityRange{.low = 0, .high = 100};
inline constexpr IntegerRange kRetentionSecondsRange{.low = 1, .high = 31'536'000};  // a year

}  // namespace lockstep::wire
