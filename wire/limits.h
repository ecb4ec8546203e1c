// Limits of single fields, the same for every door a request can come through: HTTP at the
// coordinator and ZeroMQ at a node. Limits of whole messages are in codec.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lockstep::wire {

inline constexpr size_t kMaxModelNameBytes = 256;
inline constexpr size_t kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 1024;  // of one stop string
inline constexpr size_t kMaxStopTokenIds = 64;
inline constexpr size_t kMaxCacheSaltBytes = 256;
inline constexpr size_t kMaxTenantBytes = 64;
inline constexpr int64_t kMaxPriority = INT32_MAX;
inline constexpr int64_t kMaxDeadlineMs = INT32_MAX;
inline constexpr int64_t kMaxRetentionPriority = 100;
inline constexpr int64_t kMaxRetentionSeconds = 31'536'000;  // a year

}  // namespace lockstep::wire
