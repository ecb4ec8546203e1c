// What people ask of a running engine: empty the prefix cache, say who holds which slot. For
// Engine::post: on the engine thread, between two turns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "node/engine/sequence/sequence.h"

namespace lockstep {

class EngineCore;

// One choice of a request, waiting or running.
struct SlotInfo {
  RequestId request{};
  uint32_t choice = 0;
  SeqState state = SeqState::kWaiting;
  int32_t n_prompt = 0;
  int32_t n_cached = 0;    // of the prompt, found in the KV cache
  int32_t n_computed = 0;  // tokens that have K and V
  int32_t n_output = 0;
  int32_t n_blocks = 0;  // of its tables, in all KV groups; a shared one counts for each
};

struct ClearedCache {
  int32_t n_cleared = 0;       // blocks that were cached and are free now
  int32_t n_host_cleared = 0;  // likewise, of host memory
  int32_t n_busy = 0;          // blocks that stay, because running sequences use them
  std::vector<SlotInfo> busy;  // those sequences
};

// Which blocks: all, those of prompts with one salt, or those charged to one tenant.
struct ClearScope {
  std::optional<std::string> salt;
  std::optional<int32_t> tenant;
};

// Frees the cached blocks of the scope that nobody uses.
ClearedCache clear_kv_cache(EngineCore& core, const ClearScope& scope);

// Running ones in order of admission, then waiting ones in order of arrival.
std::vector<SlotInfo> list_slots(const EngineCore& core);

}  // namespace lockstep
