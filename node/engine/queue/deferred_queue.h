// DeferredQueue: sequences that wait for keys and values that a running one, their leader, is
// computing. They stand in no waiting queue meanwhile, so a plan does not look at them, however
// many there are. Each comes back when its leader has published the blocks it waits for, when the
// leader will publish no more, or when it has waited for so many steps; whichever is first. Engine
// thread only.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace lockstep {

class Sequence;

// Why a sequence is deferred.
struct Deferral {
  Sequence* sequence = nullptr;
  const Sequence* leader = nullptr;
  int32_t n_blocks = 0;  // of the leader's prefix, which must be published
};

class DeferredQueue {
 public:
  bool empty() const { return entries_.empty(); }
  int32_t n_sequences() const { return static_cast<int32_t>(entries_.size()); }
  // Until step `until` at the latest.
  void add(const Deferral& deferral, uint64_t until);
  // False if it is not there.
  bool remove(Sequence& sequence);
  // Takes out one who waits for at most n_blocks of this leader's, or until `step` or a step
  // before; null once there is nobody left.
  Sequence* take_served(const Sequence& leader, int32_t n_blocks);
  Sequence* take_overdue(uint64_t step);
  std::vector<Sequence*> all() const;  // in no order

 private:
  struct Entry {
    const Sequence* leader;
    int32_t n_blocks;
    uint64_t until;
  };
  std::unordered_map<Sequence*, Entry> entries_;
  // The same, in the order in which they are served and overdue.
  std::map<const Sequence*, std::set<std::pair<int32_t, Sequence*>>> by_leader_;
  std::set<std::pair<uint64_t, Sequence*>> by_step_;
};

}  // namespace lockstep
