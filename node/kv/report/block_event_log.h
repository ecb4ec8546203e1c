// BlockEventLog: carries block events from the engine thread to the one that publishes them, a
// batch for each turn that changed something. Batches are numbered; when the reader is too slow the
// oldest are dropped, and the gap in the numbers says so. Keeps the digest of what is resident: the
// sum of the hashes, modulo 2^64, each as often as it is resident. Whoever has applied all batches
// before number n to a set has the digest that goes with n.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "node/kv/index/block_events.h"

namespace lockstep {

struct BlockEventBatch {
  uint64_t seq = 0;  // from 0
  std::vector<BlockEvent> events;
};

// All batches before number n_batches, summed up.
struct BlockEventState {
  uint64_t n_batches = 0;
  uint64_t digest = 0;
};

// Blocks and batches; they only grow.
struct BlockEventCounts {
  uint64_t n_stored = 0, n_removed = 0;
  uint64_t n_batches = 0, n_batches_dropped = 0;
};

class BlockEventLog final : public BlockEventSink {
 public:
  explicit BlockEventLog(size_t max_batches = 4096) : max_batches_(max_batches) {}

  // Called on the engine thread after each batch; must not block. Set before the engine starts.
  void on_batch(std::function<void()> notify) { notify_ = std::move(notify); }

  // Engine thread.
  void stored(const StoredBlock& block) override;
  void removed(uint64_t hash) override;
  void end_turn() override;

  // Any thread.
  // The batches since the last call, those that were dropped excepted.
  std::deque<BlockEventBatch> take();
  BlockEventState state() const;
  BlockEventCounts counts() const;

 private:
  const size_t max_batches_;
  std::function<void()> notify_;

  // Engine thread only: of the turn that runs.
  std::vector<BlockEvent> events_;
  uint64_t digest_ = 0;
  BlockEventCounts told_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::deque<BlockEventBatch> batches_;
  BlockEventState state_;
  BlockEventCounts counts_;
};

}  // namespace lockstep
