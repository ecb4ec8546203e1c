// CacheHistory: what became of the prefix cache's blocks, for people who ask: how often each was
// reused and when last, and when prefixes that are gone were evicted. Bounded, takes its memory at
// once, and forgets: the fate of a prefix is lost when another's takes its place. Engine thread
// only.
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
    Clock::TimePoint last;  // if there were any
  };

  CacheHistory(int32_t n_blocks, const Clock& clock);

  // A sequence has found this node, whose hash this is.
  void used(BlockId node, uint64_t hash);
  Use use_of(BlockId node, uint64_t hash) const;
  // When a prefix was evicted, as far as it is remembered.
  std::optional<Clock::TimePoint> evicted_at(uint64_t hash) const;

  // Tokens of blocks that were computed again after they had been evicted, as far as evictions are
  // remembered: what a larger cache, or a better choice, would have saved.
  uint64_t n_regret_tokens() const { return n_regret_tokens_; }

  // It is about to be stored again without having been computed again.
  void forget_eviction(uint64_t hash);

  void stored(const StoredBlock& block) override;
  void removed(uint64_t hash) override;
  void end_turn() override {}

 private:
  struct NodeUse {
    uint64_t hash = 0;  // of the prefix that the block held then
    Use use;
  };
  struct Eviction {
    uint64_t hash = 0;
    Clock::TimePoint at;
    bool is_known = false;
  };

  const Clock& clock_;
  std::vector<NodeUse> uses_;  // [n_blocks]
  uint64_t n_regret_tokens_ = 0;
  std::vector<Eviction> evictions_;  // by hash, one each; a power of two
};

}  // namespace lockstep
