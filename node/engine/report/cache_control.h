// Administration of a running engine: clear the prefix cache, list the sequences and their slots.
// Engine thread only, between two turns: callers run these functions through Engine::post.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "node/engine/sequence/sequence.h"

namespace lockstep {

class EngineCore;

// One choice of a request that waits or runs.
struct SlotInfo {
  RequestId request{};
  uint32_t choice = 0;
  SeqState state = SeqState::kWaiting;
  int32_t n_prompt = 0;
  int32_t n_cached = 0;    // tokens that the last admission found in the prefix cache
  int32_t n_computed = 0;  // tokens with keys and values
  int32_t n_output = 0;
  int32_t n_blocks = 0;  // in its block table; each sharer counts a shared block
};

struct ClearedCache {
  int32_t n_cleared = 0;       // blocks that were cached and are free now
  int32_t n_host_cleared = 0;  // the same for blocks in host memory
  int32_t n_busy = 0;          // blocks that were kept because running sequences use them
  std::vector<SlotInfo> busy;  // those sequences
};

// Which blocks to clear: those of prompts with this salt and charged to this tenant, where set;
// without either, all blocks.
struct ClearScope {
  std::optional<std::string> salt;
  std::optional<int32_t> tenant;
};

// Frees the cached blocks of the scope that no running sequence uses.
ClearedCache clear_kv_cache(EngineCore& core, const ClearScope& scope);

// Running sequences in order of admission; then waiting ones, by tenant and in order of service;
// then deferred ones, in no order.
std::vector<SlotInfo> list_slots(const EngineCore& core);

}  // namespace lockstep
