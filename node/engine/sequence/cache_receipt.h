// CacheReceipt: what a request found in the prefix cache, and why not more. What other salts hold
// is never looked at, so it reads as never seen.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/clock.h"

namespace lockstep {

enum class CacheOutcome : uint8_t {
  kOff,           // the cache is, or the request did not want it
  kHit,           // all of the prompt that can be reused was
  kNeverSeen,     // as far as is remembered
  kEvicted,       // was there once
  kNotCommitted,  // another request is computing it
};
std::string_view to_string(CacheOutcome outcome);

struct CacheReceipt {
  CacheOutcome outcome = CacheOutcome::kOff;
  int32_t n_matched = 0;  // tokens of the prompt read from the cache
  // Of the prompt: the first token that differs from everything cached, or whose block is missing;
  // the prompt's length after a hit.
  int32_t first_divergent = 0;
  Clock::TimePoint::duration evicted_for{};  // how long ago, if it was
};

}  // namespace lockstep
