// WaitingBatches: live batches that came before their turn, while earlier ones are replayed or a
// snapshot is loaded. Bounded; when there are too many, all are dropped, and are missing like any
// lost batch. I/O thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "wire/codec/kv_event_batch.h"

namespace lockstep {

class WaitingBatches {
 public:
  // Bounds of one node; a node in trouble takes at most about 2 MiB.
  static constexpr size_t kMaxBatches = 4096, kMaxBytes = 1 << 20;

  void add(uint64_t seq, const wire::KvEventBatch& batch) {
    const size_t n_bytes = bytes_of(batch);
    if (batches_.size() == kMaxBatches || n_bytes_ + n_bytes > kMaxBytes) clear();
    if (n_bytes <= kMaxBytes && batches_.try_emplace(seq, batch).second) n_bytes_ += n_bytes;
  }
  // Drops the batches before number `seq`, and moves that one to `batch`. False: it is not there.
  bool take(uint64_t seq, wire::KvEventBatch& batch) {
    while (!batches_.empty() && batches_.begin()->first < seq) drop_first();
    if (batches_.empty() || batches_.begin()->first != seq) return false;
    batch = batches_.begin()->second;
    drop_first();
    return true;
  }
  void clear() {
    batches_.clear();
    n_bytes_ = 0;
  }
  bool empty() const { return batches_.empty(); }

 private:
  static size_t bytes_of(const wire::KvEventBatch& batch) {
    return batch.hashes.size() * sizeof(uint64_t) + batch.events.size() * sizeof(wire::KvEvent);
  }
  void drop_first() {
    n_bytes_ -= bytes_of(batches_.begin()->second);
    batches_.erase(batches_.begin());
  }

  std::map<uint64_t, wire::KvEventBatch> batches_;  // by number
  size_t n_bytes_ = 0;
};

}  // namespace lockstep
