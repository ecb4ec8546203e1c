#include "node/kv/report/block_event_log.h"

#include <utility>

namespace lockstep {

void BlockEventLog::stored(const StoredBlock& block) {
  append_stored(events_, block);
  digest_ += block.hash;
  ++reported_.n_stored;
}

void BlockEventLog::removed(uint64_t hash) {
  append_removed(events_, hash);
  digest_ -= hash;
  ++reported_.n_removed;
}

void BlockEventLog::end_turn() {
  if (events_.empty()) return;
  BlockEventBatch dropped;  // freed after the lock
  {
    std::lock_guard lock(mutex_);
    if (batches_.size() == max_batches_) {
      dropped = std::move(batches_.front());
      batches_.pop_front();
      ++reported_.n_batches_dropped;
    }
    batches_.push_back({state_.n_batches, std::exchange(events_, {})});
    reported_.n_batches = ++state_.n_batches;
    state_.digest = digest_;
    counts_ = reported_;
  }
  if (notify_) notify_();
}

std::deque<BlockEventBatch> BlockEventLog::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(batches_, {});
}

BlockEventState BlockEventLog::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

BlockEventCounts BlockEventLog::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace lockstep
