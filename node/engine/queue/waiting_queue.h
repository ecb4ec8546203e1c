// WaitingQueue: the sequences that have no slot, in one queue per tenant, ordered by priority and
// then by arrival. A requeued sequence keeps its arrival number, so it precedes all later ones. A
// deferred sequence leaves its tenant's queue for the DeferredQueue
// (node/engine/queue/deferred_queue.h) and later returns to its place. Engine thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>
#include <vector>

#include "node/engine/queue/deferred_queue.h"
#include "node/engine/sequence/sequence.h"

namespace lockstep {

// Whether `a` is served before `b`: the lower priority number first, then the earlier arrival.
bool comes_before(const Sequence& a, const Sequence& b);

struct FewestToForward {
  // The lower priority number first, then the fewer tokens to forward, then the earlier arrival.
  bool operator()(const Sequence* a, const Sequence* b) const;
};

class WaitingQueue {
 public:
  using Shortest = std::set<Sequence*, FewestToForward>;

  explicit WaitingQueue(size_t n_tenants) : queues_(n_tenants), shortest_(n_tenants) {}

  // Inserts the sequence into its tenant's queue; a new sequence gets its arrival number. Its
  // n_to_forward() must be set and must not change while it is in a tenant's queue.
  void enter(Sequence& sequence);
  // Removes the sequence, which must be in its tenant's queue or deferred (CHECK).
  void leave(Sequence& sequence);

  // Moves a sequence from its tenant's queue to deferred(), until step `until` at the latest.
  void defer(const Deferral& deferral, uint64_t until);
  // Puts a sequence that was taken from deferred() back into its tenant's queue.
  void readmit(Sequence& sequence) { insert(sequence); }
  DeferredQueue& deferred() { return deferred_; }
  const DeferredQueue& deferred() const { return deferred_; }

  // A tenant's queue in order of service; and the same sequences, the shortest first.
  const std::deque<Sequence*>& of(size_t tenant) const { return queues_[tenant]; }
  const Shortest& shortest_of(size_t tenant) const { return shortest_[tenant]; }
  size_t n_tenants() const { return queues_.size(); }
  int32_t n_sequences() const { return n_sequences_; }  // queued and deferred
  // Requests whose first choice has not been admitted, and the tokens of their prompts.
  int32_t n_new_requests() const { return n_new_requests_; }
  int64_t n_new_tokens() const { return n_new_tokens_; }
  // Tokens that its sequences will have to forward, as far as that is known. The choices of a
  // request share its prompt: while they are queued, the lead choice counts for all.
  int64_t n_tokens_to_forward() const { return n_tokens_queued_ + deferred_.n_tokens_to_forward(); }
  bool empty() const { return n_sequences_ == 0; }
  // The sequence that comes before all others, deferred ones included; null if there is none.
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
  int64_t n_tokens_queued_ = 0;  // n_tokens_to_forward() of the sequences in tenants' queues
};

}  // namespace lockstep
