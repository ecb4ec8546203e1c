// Limits of single fields, the same for every door a request can come through: HTTP at the
// coordinator and ZeroMQ at a node. Limits of whole messages are in codec.h.
#pragma once

#include <cstddef>

namespace lockstep::wire {

inline constexpr size_t kMaxModelNameBytes = 256;
inline constexpr size_t kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 1024;  // of one stop string
inline constexpr size_t kMaxStopTokenIds = 64;
inline constexpr size_t kMaxCacheSaltBytes = 256;

}  // namespace lockstep::wire
