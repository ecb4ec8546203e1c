// EngineConfig: what an engine is built with. Plain data.
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

// What an admitted sequence is reserved.
enum class ReservationMode : uint8_t {
  kOptimistic,  // blocks for its tokens and a likely answer; it may have to give them up and wait
  kGuaranteed,  // blocks for all it can ever need
};

struct EngineConfig {
  StepLimits limits;
  int32_t n_kv_blocks = 0;  // blocks of every KV group's pool
  int32_t max_queued_requests = 1024;
  int64_t max_queued_tokens = 0;  // of the prompts of requests that wait; 0 = no limit
  int max_steps_in_flight = 1;    // 2 = plan a step while one runs
  // Never empty; kDefaultTenant is the first.
  std::vector<TenantConfig> tenants = {{.name = std::string(kDefaultTenant)}};
  ReservationMode reservation = ReservationMode::kOptimistic;
  int32_t max_preemptions = 2;  // of a sequence; from then on its reservation is guaranteed
  // How long a step with decodes may be predicted to take; 0 = any time.
  std::chrono::microseconds itl_target{0};
  // false: keys and values serve one pass. For each token a sequence, one at a time, forwards all
  // it has anew; n_kv_blocks are scratch for the longest one, and count as no pool.
  bool kv_cache = true;
  // true: a sequence whose context has max_model_len tokens goes on with a part of it
  // (node/engine/sequence/context_cut.h), which begins with n_keep tokens of its prompt or
  // kKeepPrompt.
  bool context_shift = false;
  int32_t n_keep = 0;
  bool prefix_cache = true;  // keep the blocks of prompts and answers for requests that begin alike
  EvictionPolicy eviction_policy = EvictionPolicy::kLru;  // whose blocks go when room is needed
  bool sanitize_kv = false;  // every invariant is checked after every turn, not the cheap ones only
  // What kGdsf takes a block to be worth until steps have been timed; only ratios matter.
  PrefillCost prefill_cost = {};
  BlockEventSink* block_events = nullptr;  // told what that does; must outlive the engine
  WatchConfig watch = {};
};

}  // namespace lockstep
