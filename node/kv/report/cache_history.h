// CacheHistory: statistics of the prefix cache's blocks, for receipts and reports: how often each
// block was reused and when last, and when evicted prefixes were evicted. Bounded; allocates at
// construction. An eviction is forgotten when another one takes its place in the table. Engine
// thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/clock.h"
#include "node/kv/index/prefix_index.h"

namespace lockstep {

class CacheHistory final : public BlockEventSink {
 public:
  struct Use {
    uint64_t n_hits = 0;
    Clock::TimePoint last;  // meaningful if n_hits > 0
  };

  CacheHistory(int32_t n_blocks, const Clock& clock);

  // A sequence has found this prefix entry, which has this hash.
  void used(BlockId entry, uint64_t hash);
  Use use_of(BlockId entry, uint64_t hash) const;
  // When the prefix was evicted; nullopt if no eviction of it is remembered.
  std::optional<Clock::TimePoint> evicted_at(uint64_t hash) const;

  // Tokens of blocks that were computed again after a remembered eviction: what a larger cache, or
  // a better eviction policy, would have saved.
  uint64_t n_regret_tokens() const { return n_regret_tokens_; }

  // Forgets the eviction of a prefix that is about to be stored again without being computed again.
  void forget_eviction(uint64_t hash);

  void stored(const StoredBlock& block) override;
  void removed(uint64_t hash) override;
  void end_turn() override {}

 private:
  struct EntryUse {
    uint64_t hash = 0;  // of the prefix that the block held at its last use
    Use use;
  };
  struct Eviction {
    uint64_t hash = 0;
    Clock::TimePoint at;
    bool is_known = false;
  };

  const Clock& clock_;
  std::vector<EntryUse> uses_;  // [n_blocks]
  uint64_t n_regret_tokens_ = 0;
  std::vector<Eviction> evictions_;  // hash table, one eviction a place; its size is a power of two
};

}  // namespace lockstep
