// CacheReport: what the prefix cache holds: blocks by salt and by tenant, and the prefixes that are
// reused most. Plain data. The parts whose time grows with the pool run in pieces (CacheWalk) or on
// another thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/clock.h"

namespace lockstep {

class CacheWalk;
class EngineCore;

// The last block of a run of blocks that were reused together.
struct HotPrefix {
  uint64_t hash = 0;
  uint64_t key_hash = 0;  // hash of its salt
  bool has_salt = false;
  int32_t n_blocks = 0;  // from the root to this block
  int32_t n_children = 0;
  uint64_t n_hits = 0;  // requests that reused it
  Clock::TimePoint last_used;
  std::vector<int32_t> first_tokens;  // at most CacheReportLimits::n_first_tokens
};

struct KeyOccupancy {
  uint64_t key_hash = 0;
  bool has_salt = false;
  int32_t n_blocks = 0;
};

// Blocks charged to one tenant; indexed by tenant.
struct TenantOccupancy {
  int32_t n_used = 0;  // active and reserved
  int32_t n_cached = 0;
};

struct CacheReport {
  bool is_enabled = false;
  int32_t block_size = 0;
  int32_t n_indexed = 0;           // blocks in the prefix index
  int32_t n_keys = 0;              // distinct salts; "no salt" counts as one
  std::vector<KeyOccupancy> keys;  // the largest first
  std::vector<TenantOccupancy> tenants;
  std::vector<HotPrefix> prefixes;  // the prefix that saved most blocks first
};

struct CacheReportLimits {
  size_t n_prefixes = 20;
  size_t n_keys = 20;
  int32_t n_first_tokens = 0;
};

// Engine thread. Fills in what is counted already; takes time proportional to the tenants.
CacheReport count_cache(const EngineCore& core);
// Any thread. Adds the result of a finished walk.
void add_walk(CacheReport& report, const CacheWalk& walk, const CacheReportLimits& limits);

// Engine thread. Makes the whole report at once.
CacheReport make_cache_report(const EngineCore& core, const CacheReportLimits& limits);

}  // namespace lockstep
