// BlockEventLog: carries KV cache events from the engine thread to the thread that publishes them,
// one batch for each engine turn that changed the cache. Batches are numbered. If the reader is too
// slow, the oldest batches are dropped, and the reader sees the gap in the numbers. Keeps the
// digest of the resident blocks: the sum of their hashes modulo 2^64, each hash as often as it is
// resident. A reader that has applied all batches before number n has a set with the digest that
// goes with n.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "node/kv/index/block_events.h"

namespace lockstep {

struct BlockEventBatch {
  uint64_t seq = 0;  // the batch's number, from 0
  std::vector<BlockEvent> events;
};

// The state after all batches before number n_batches.
struct BlockEventState {
  uint64_t n_batches = 0;
  uint64_t digest = 0;
};

// Counters of blocks and batches; they only grow.
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
  // Returns the batches since the last call, without those that were dropped.
  std::deque<BlockEventBatch> take();
  BlockEventState state() const;
  BlockEventCounts counts() const;

 private:
  const size_t max_batches_;
  std::function<void()> notify_;

  // Engine thread only: state of the current turn.
  std::vector<BlockEvent> events_;
  uint64_t digest_ = 0;
  BlockEventCounts reported_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::deque<BlockEventBatch> batches_;
  BlockEventState state_;
  BlockEventCounts counts_;
};

}  // namespace lockstep
