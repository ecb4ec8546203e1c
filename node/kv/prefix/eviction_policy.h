// EvictionPolicy: which of the cached blocks that nobody references goes first, and what the
// policies judge by. Plain data; docs/kv-cache.md explains the choice.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/clock.h"

namespace lockstep {

enum class EvictionPolicy : uint8_t {
  kLru,       // unreferenced for longest
  kGdsf,      // used seldom and cheap to compute again
  kPriority,  // lowest retention priority, then unreferenced for longest
};
inline constexpr std::string_view kEvictionPolicyNames = "lru, gdsf, priority";

std::string_view to_string(EvictionPolicy policy);
std::optional<EvictionPolicy> parse_eviction_policy(std::string_view name);

// What it takes to compute a block again: its tokens, and the pairs of a token with one before it.
// Only ratios matter. The default has no price on pairs: every block costs the same.
struct PrefillCost {
  double seconds_per_token = 1;
  double seconds_per_token_pair = 0;

  // Of tokens [first, first + n) of a sequence.
  double seconds(int64_t first, int64_t n) const {
    const auto tokens = static_cast<double>(n);
    const double pairs = tokens * (static_cast<double>(first) + (tokens + 1) / 2);
    return seconds_per_token * tokens + seconds_per_token_pair * pairs;
  }
};

// How much, and until when, the blocks of a request are worth keeping; kPriority alone asks. Where
// several requests share a block the highest priority counts.
inline constexpr int32_t kDefaultRetentionPriority = 50;
struct Retention {
  int32_t priority = kDefaultRetentionPriority;      // 0 to 100
  Clock::TimePoint until = Clock::TimePoint::max();  // from then on it is the default
};

}  // namespace lockstep
