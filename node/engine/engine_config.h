// EngineConfig: the settings that an engine is constructed with. Plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "node/engine/watch_config.h"
#include "node/kv/index/block_events.h"
#include "node/kv/pool/tenant_config.h"
#include "node/kv/prefix/eviction_policy.h"
#include "node/step/step_plan.h"

namespace lockstep {

// How many KV blocks are reserved for an admitted sequence.
enum class ReservationMode : uint8_t {
  kOptimistic,  // blocks for its tokens and a likely output length; it may be preempted
  kGuaranteed,  // all blocks that it can ever need; it is never preempted
};

struct EngineConfig {
  StepLimits limits;
  int32_t n_kv_blocks = 0;  // blocks in the KV pool
  int32_t max_queued_requests = 1024;
  int64_t max_queued_tokens = 0;  // prompt tokens of waiting requests; 0 = no limit
  int max_steps_in_flight = 1;    // 2 = plan and submit a step while another one runs
  // Never empty; the first tenant is kDefaultTenant.
  std::vector<TenantConfig> tenants = {{.name = std::string(kDefaultTenant)}};
  ReservationMode reservation = ReservationMode::kOptimistic;
  int32_t max_preemptions = 2;  // per sequence; after that its reservation is guaranteed
  // The longest predicted time of a step that holds decodes; 0 = no limit.
  std::chrono::microseconds itl_target{0};
  // false: one sequence runs at a time and forwards its whole context again for each output token.
  // The n_kv_blocks are then scratch for the longest sequence, and snapshots report no pool.
  bool kv_cache = true;
  // true: a sequence whose context has reached max_model_len tokens continues with a part of it
  // (node/engine/sequence/context_cut.h) that begins with the first n_keep tokens of its prompt
  // (kKeepPrompt: the whole prompt).
  bool context_shift = false;
  int32_t n_keep = 0;
  bool prefix_cache = true;  // keep computed blocks for later requests with the same prefix
  EvictionPolicy eviction_policy = EvictionPolicy::kLru;  // which cached blocks are evicted first
  // true: every invariant is checked after every turn, not only the cheap ones, and stale KV blocks
  // are filled with NaN.
  bool sanitize_kv = false;
  // The cost that kGdsf assumes for computing a block until steps have been timed; only the ratio
  // of its terms matters.
  PrefillCost prefill_cost = {};
  // Receives the prefix cache's block events if not null; must outlive the engine.
  BlockEventSink* block_events = nullptr;
  WatchConfig watch = {};
};

}  // namespace lockstep
