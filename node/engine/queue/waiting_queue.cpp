#include "node/engine/queue/waiting_queue.h"

#include <algorithm>

#include "common/check.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {
namespace {

// Tokens by which the sequence adds to n_tokens_to_forward().
int32_t n_counted(const Sequence& sequence) {
  const LiveRequest& request = sequence.owner();
  const bool follows =
      request.takes_part_in_cache && sequence.is_new() && sequence.choice() != request.lead_choice;
  return follows ? 0 : sequence.n_to_forward();
}

}  // namespace

bool comes_before(const Sequence& a, const Sequence& b) {
  const int32_t first = a.owner().request.priority;
  const int32_t second = b.owner().request.priority;
  return first != second ? first < second : a.arrival() < b.arrival();
}

bool FewestToForward::operator()(const Sequence* a, const Sequence* b) const {
  const int32_t first = a->owner().request.priority;
  const int32_t second = b->owner().request.priority;
  if (first != second) return first < second;
  if (a->n_to_forward() != b->n_to_forward()) return a->n_to_forward() < b->n_to_forward();
  return a->arrival() < b->arrival();
}

void WaitingQueue::enter(Sequence& sequence) {
  CHECK(sequence.is_waiting() && tenant_of(sequence) < queues_.size());
  if (sequence.is_new()) sequence.arrive(next_arrival_++);
  insert(sequence);
  count(sequence, 1);
}

void WaitingQueue::leave(Sequence& sequence) {
  if (!deferred_.remove(sequence)) erase(sequence);
  count(sequence, -1);
}

void WaitingQueue::defer(const Deferral& deferral, uint64_t until) {
  erase(*deferral.sequence);
  deferred_.add(deferral, until);
}

void WaitingQueue::insert(Sequence& sequence) {
  std::deque<Sequence*>& queue = queues_[tenant_of(sequence)];
  const auto place =
      std::upper_bound(queue.begin(), queue.end(), &sequence,
                       [](const Sequence* a, const Sequence* b) { return comes_before(*a, *b); });
  queue.insert(place, &sequence);
  shortest_[tenant_of(sequence)].insert(&sequence);
  n_tokens_queued_ += n_counted(sequence);
}

void WaitingQueue::erase(Sequence& sequence) {
  std::deque<Sequence*>& queue = queues_[tenant_of(sequence)];
  const auto place =
      std::lower_bound(queue.begin(), queue.end(), &sequence,
                       [](const Sequence* a, const Sequence* b) { return comes_before(*a, *b); });
  CHECK(place != queue.end() && *place == &sequence);
  queue.erase(place);
  shortest_[tenant_of(sequence)].erase(&sequence);
  n_tokens_queued_ -= n_counted(sequence);
}

// The lead choice stands for its request; a requeued one no longer counts as new.
void WaitingQueue::count(const Sequence& sequence, int sign) {
  n_sequences_ += sign;
  if (sequence.choice() != sequence.owner().lead_choice || !sequence.is_new()) return;
  n_new_requests_ += sign;
  n_new_tokens_ += sign * int64_t{sequence.n_prompt()};
}

Sequence* WaitingQueue::first() const {
  std::vector<Sequence*> candidates = deferred_.all();
  for (const std::deque<Sequence*>& queue : queues_) {
    if (!queue.empty()) candidates.push_back(queue.front());
  }
  const auto first =
      std::min_element(candidates.begin(), candidates.end(),
                       [](const Sequence* a, const Sequence* b) { return comes_before(*a, *b); });
  return first == candidates.end() ? nullptr : *first;
}

}  // namespace lockstep
