// DeferredQueue: sequences that are deferred because a running sequence, their leader, is computing
// a prefix that they share (in-batch prefix caching). A deferred sequence is in no tenant's queue,
// so plans do not visit it, however many there are. It returns to the waiting queue when the first
// of these happens: its leader has published the blocks it waits for; its leader will publish no
// more; its step limit is reached. Engine thread only.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace lockstep {

class Sequence;

// `sequence` waits until `leader` has published the first n_blocks blocks of its prefix.
struct Deferral {
  Sequence* sequence = nullptr;
  const Sequence* leader = nullptr;
  int32_t n_blocks = 0;
  int32_t n_to_forward = 0;  // tokens that `sequence` will have to forward itself
};

class DeferredQueue {
 public:
  bool empty() const { return entries_.empty(); }
  int32_t n_sequences() const { return static_cast<int32_t>(entries_.size()); }
  int64_t n_tokens_to_forward() const { return n_tokens_to_forward_; }  // of all its sequences
  // Defers the sequence until step `until` at the latest.
  void add(const Deferral& deferral, uint64_t until);
  // Returns false if the sequence is not deferred.
  bool remove(Sequence& sequence);
  // Each call removes and returns one sequence, or null when none is left. take_served: one that
  // waits for at most n_blocks of `leader`. take_overdue: one whose limit is `step` or earlier.
  Sequence* take_served(const Sequence& leader, int32_t n_blocks);
  Sequence* take_overdue(uint64_t step);
  std::vector<Sequence*> all() const;  // in no order

 private:
  struct Entry {
    const Sequence* leader;
    int32_t n_blocks;
    uint64_t until;
    int32_t n_to_forward;
  };
  std::unordered_map<Sequence*, Entry> entries_;
  // The same sequences, ordered by (leader, n_blocks) and by step limit.
  std::map<const Sequence*, std::set<std::pair<int32_t, Sequence*>>> by_leader_;
  std::set<std::pair<uint64_t, Sequence*>> by_step_;
  int64_t n_tokens_to_forward_ = 0;
};

}  // namespace lockstep
