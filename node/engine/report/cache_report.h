// CacheReport: what the prefix cache holds, for people who ask: whose it is and which prefixes are
// reused most. Plain data. What takes long with a large pool is done in pieces (CacheWalk) or on
// another thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/clock.h"

namespace lockstep {

class CacheWalk;
class EngineCore;

// The end of a run of blocks that were reused together.
struct HotPrefix {
  uint64_t hash = 0;
  uint64_t key_hash = 0;  // of its salt
  bool has_salt = false;
  int32_t n_blocks = 0;  // from the root on
  int32_t n_children = 0;
  uint64_t n_hits = 0;  // requests that found it
  Clock::TimePoint last_used;
  std::vector<int32_t> first_tokens;  // as many as were asked for
};

struct KeyOccupancy {
  uint64_t key_hash = 0;
  bool has_salt = false;
  int32_t n_blocks = 0;
};

// Blocks of all KV groups that a tenant, by its number, is charged with.
struct TenantOccupancy {
  int32_t n_used = 0;  // active and reserved
  int32_t n_cached = 0;
};

struct CacheReport {
  bool is_enabled = false;
  int32_t block_size = 0;
  int32_t n_indexed = 0;           // blocks of group 0 that can be found
  int32_t n_keys = 0;              // salts, none included
  std::vector<KeyOccupancy> keys;  // the largest first
  std::vector<TenantOccupancy> tenants;
  std::vector<HotPrefix> prefixes;  // those that saved most first
};

struct CacheReportLimits {
  size_t n_prefixes = 20;
  size_t n_keys = 20;
  int32_t n_first_tokens = 0;
};

// Engine thread: what is counted already, in the time that a tenant takes each.
CacheReport count_cache(const EngineCore& core);
// Any thread: adds what a walk has read.
void add_walk(CacheReport& report, const CacheWalk& walk, const CacheReportLimits& limits);

// Engine thread: all of it at once.
CacheReport make_cache_report(const EngineCore& core, const CacheReportLimits& limits);

}  // namespace lockstep
