// CacheReceipt: how much of a request's prompt the prefix cache had, and why not more. Blocks of
// other cache salts are never compared, so they count as never seen. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/clock.h"

namespace lockstep {

enum class CacheOutcome : uint8_t {
  kOff,           // the prefix cache is off, or the request opted out (cache_prompt)
  kHit,           // every reusable block of the prompt was cached
  kNeverSeen,     // the missing block is not among the remembered evictions
  kEvicted,       // the missing block was cached once and was evicted
  kNotCommitted,  // another request is computing the missing block
};
std::string_view to_string(CacheOutcome outcome);

struct CacheReceipt {
  CacheOutcome outcome = CacheOutcome::kOff;
  int32_t n_matched = 0;  // tokens of the prompt read from the cache
  // Index in the prompt of the first token that differs from everything cached, or whose block is
  // missing; the prompt's length after a hit.
  int32_t first_divergent = 0;
  Clock::TimePoint::duration evicted_for{};  // kEvicted: time since the eviction
};

}  // namespace lockstep
