#include "node/engine/checks/kv_sanitizer.h"

#include "common/fault_points.h"

namespace lockstep {

const std::vector<BlockId>& KvSanitizer::find_stale(const BlockPool& pool) {
  stale_.clear();
  seen_.resize(static_cast<size_t>(pool.n_blocks_total()));
  for (int32_t i = 0; i < pool.n_blocks_total(); ++i) {
    const BlockId id{i};
    const Seen now{pool.generation(id), pool.state(id) == BlockState::kFree};
    Seen& before = seen_[static_cast<size_t>(i)];
    if (now.generation != before.generation || (now.is_free && !before.is_free)) {
      stale_.push_back(id);
    }
    before = now;
  }
  if (fault(Fault::kFreedNotPoisoned)) stale_.clear();
  return stale_;
}

}  // namespace lockstep
