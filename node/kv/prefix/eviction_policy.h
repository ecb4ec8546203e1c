// EvictionPolicy: which cached block is evicted first, and the inputs of the policies (cost and
// retention). Plain data; docs/kv-cache.md explains the choice.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/clock.h"

namespace lockstep {

enum class EvictionPolicy : uint8_t {
  kLru,       // evicts the least recently used first
  kGdsf,      // evicts first what is seldom used and cheap to compute again
  kPriority,  // evicts the lowest retention priority first; of equals the least recently used
};
inline constexpr std::string_view kEvictionPolicyNames = "lru, gdsf, priority";

std::string_view to_string(EvictionPolicy policy);
std::optional<EvictionPolicy> parse_eviction_policy(std::string_view name);

// The cost of computing a block again: so much per token, and so much per pair of a token with a
// token before it (attention). Only ratios matter. By default pairs cost nothing, so every block
// costs the same.
struct PrefillCost {
  double seconds_per_token = 1;
  double seconds_per_token_pair = 0;

  // The cost of tokens [first, first + n) of a sequence.
  double seconds(int64_t first, int64_t n) const {
    const auto tokens = static_cast<double>(n);
    const double pairs = tokens * (static_cast<double>(first) + (tokens + 1) / 2);
    return seconds_per_token * tokens + seconds_per_token_pair * pairs;
  }
};

// A request's retention priority for its blocks, and when it ends. Only kPriority reads it. If
// several requests share a block, the highest priority counts.
inline constexpr int32_t kDefaultRetentionPriority = 50;
struct Retention {
  int32_t priority = kDefaultRetentionPriority;      // 0 to 100
  Clock::TimePoint until = Clock::TimePoint::max();  // from then on the default priority counts
};

}  // namespace lockstep
