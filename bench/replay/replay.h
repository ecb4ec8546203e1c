// Replays a trace through the real engine, with a model that answers at once: measures the hits of
// the prefix cache with a given pool and policy. Also computes the hits of the best possible
// choice, which knows the future.
#pragma once

#include <cstdint>

#include "bench/replay/trace.h"
#include "node/kv/prefix/eviction_policy.h"

namespace lockstep::replay {

struct ReplayConfig {
  int32_t n_blocks = 0;  // KV blocks of the pool
  EvictionPolicy policy = EvictionPolicy::kLru;
  PrefillCost cost = {};  // cost of the tokens of this trace
};

struct ReplayResult {
  int64_t n_requests = 0;  // requests that ended without error
  int64_t n_hit_tokens = 0, n_hit_blocks = 0;
  int64_t n_regret_tokens = 0;
  double seconds_saved = 0;  // seconds of prefill that were not needed
};

// Requests with the same time arrive together. Each generates one token.
ReplayResult replay(const Trace& trace, const ReplayConfig& config);

// Belady's rule: the block whose next use is last is evicted first, and a block without a next use
// is not kept. A block is used whenever a later block of the same prompt is used, so its next use
// is no later. With ties broken from the end, the rule therefore never leaves a gap: it evicts
// childless blocks first. The result is an upper bound of the blocks that any policy can find,
// since here the blocks of a request need no room while it runs. It is no bound of the seconds.
ReplayResult offline_optimum(const Trace& trace, int64_t n_blocks, const PrefillCost& cost);

}  // namespace lockstep::replay
