// A trace through the real engine with a model that answers at once: what the prefix cache finds
// with a given pool and policy; and what the best possible choice, which knows the future, would
// have found.
#pragma once

#include <cstdint>

#include "bench/replay/trace.h"
#include "node/kv/prefix/eviction_policy.h"

namespace lockstep::replay {

struct ReplayConfig {
  int32_t n_blocks = 0;  // of the pool
  EvictionPolicy policy = EvictionPolicy::kLru;
  PrefillCost cost = {};  // of this trace's tokens
};

struct ReplayResult {
  int64_t n_requests = 0;  // that ended well
  int64_t n_hit_tokens = 0, n_hit_blocks = 0;
  int64_t n_regret_tokens = 0;
  double seconds_saved = 0;  // of prefill
};

// Requests of one time arrive together. One token is generated for each.
ReplayResult replay(const Trace& trace, const ReplayConfig& config);

// Belady's rule: what is used again last goes first, and what is not worth keeping is not kept.
// A block is used whenever one behind it is, so it is used again no later: with ties broken from
// the end, the rule never leaves a gap and evicts childless entries first by itself. It is an upper
// bound of the blocks found by any policy: the blocks of a request need no place while it runs. Of
// the seconds it is no bound.
ReplayResult offline_optimum(const Trace& trace, int64_t n_blocks, const PrefillCost& cost);

}  // namespace lockstep::replay
