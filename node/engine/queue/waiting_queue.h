// WaitingQueue: the sequences that have no slot yet, a line for each tenant, each in order of
// priority and then of arrival. One that was sent back keeps its arrival, so it stands in front of
// those that came later. Who is deferred stands aside (node/engine/queue/deferred_queue.h), and
// comes back to its place. Engine thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>
#include <vector>

#include "node/engine/queue/deferred_queue.h"
#include "node/engine/sequence/sequence.h"

namespace lockstep {

// Whether `a` is to be served before `b`: lower priority numbers first, then who came first.
bool comes_before(const Sequence& a, const Sequence& b);

struct FewestToForward {
  // Lower priority numbers first, then who has the fewest tokens to forward, then who came first.
  bool operator()(const Sequence* a, const Sequence* b) const;
};

class WaitingQueue {
 public:
  using Shortest = std::set<Sequence*, FewestToForward>;

  explicit WaitingQueue(size_t n_tenants) : queues_(n_tenants), shortest_(n_tenants) {}

  // Gives it its place among those of its tenant; a sequence that is new arrives now. It must have
  // been told how many tokens it has to forward, and not be told otherwise while it is here.
  void enter(Sequence& sequence);
  // CHECKs that it is there, in line or aside.
  void leave(Sequence& sequence);

  // Puts one that is in line aside until step `until` at the latest.
  void defer(const Deferral& deferral, uint64_t until);
  // Puts one that was taken from `deferred` back in line.
  void come_back(Sequence& sequence) { insert(sequence); }
  DeferredQueue& deferred() { return deferred_; }
  const DeferredQueue& deferred() const { return deferred_; }

  // Those in line, in order of service, and the same, the shortest first.
  const std::deque<Sequence*>& of(size_t tenant) const { return queues_[tenant]; }
  const Shortest& shortest_of(size_t tenant) const { return shortest_[tenant]; }
  size_t n_tenants() const { return queues_.size(); }
  int32_t n_sequences() const { return n_sequences_; }  // in line or aside
  // Requests of which not one choice has been admitted, and the tokens of their prompts.
  int32_t n_new_requests() const { return n_new_requests_; }
  int64_t n_new_tokens() const { return n_new_tokens_; }
  bool empty() const { return n_sequences_ == 0; }
  // Who comes before all others, or null.
  Sequence* first() const;

 private:
  void count(const Sequence& sequence, int sign);
  void insert(Sequence& sequence);
  void erase(Sequence& sequence);

  std::vector<std::deque<Sequence*>> queues_;  // [n_tenants]
  std::vector<Shortest> shortest_;             // [n_tenants], of the same sequences
  DeferredQueue deferred_;
  uint64_t next_arrival_ = 1;
  int32_t n_sequences_ = 0;
  int32_t n_new_requests_ = 0;
  int64_t n_new_tokens_ = 0;
};

}  // namespace lockstep
