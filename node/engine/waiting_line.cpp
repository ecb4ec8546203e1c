#include "node/engine/waiting_line.h"

#include <algorithm>

#include "common/check.h"
#include "node/engine/live_request.h"

namespace lockstep {

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

void WaitingLine::enter(Sequence& sequence) {
  CHECK(sequence.is_waiting() && tenant_of(sequence) < lines_.size());
  if (sequence.is_new()) sequence.arrive(next_arrival_++);
  stand_in_line(sequence);
  count(sequence, 1);
}

void WaitingLine::leave(Sequence& sequence) {
  if (!deferred_.remove(sequence)) step_out_of_line(sequence);
  count(sequence, -1);
}

void WaitingLine::defer(const Deferral& deferral, uint64_t until) {
  step_out_of_line(*deferral.sequence);
  deferred_.add(deferral, until);
}

void WaitingLine::stand_in_line(Sequence& sequence) {
  std::deque<Sequence*>& line = lines_[tenant_of(sequence)];
  const auto place =
      std::upper_bound(line.begin(), line.end(), &sequence,
                       [](const Sequence* a, const Sequence* b) { return comes_before(*a, *b); });
  line.insert(place, &sequence);
  shortest_[tenant_of(sequence)].insert(&sequence);
}

void WaitingLine::step_out_of_line(Sequence& sequence) {
  std::deque<Sequence*>& line = lines_[tenant_of(sequence)];
  const auto place =
      std::lower_bound(line.begin(), line.end(), &sequence,
                       [](const Sequence* a, const Sequence* b) { return comes_before(*a, *b); });
  CHECK(place != line.end() && *place == &sequence);
  line.erase(place);
  shortest_[tenant_of(sequence)].erase(&sequence);
}

// A new request is counted with its first choice.
void WaitingLine::count(const Sequence& sequence, int sign) {
  n_sequences_ += sign;
  if (sequence.choice() != 0 || !sequence.is_new()) return;
  n_new_requests_ += sign;
  n_new_tokens_ += sign * int64_t{sequence.n_prompt()};
}

Sequence* WaitingLine::first() const {
  std::vector<Sequence*> candidates = deferred_.all();
  for (const std::deque<Sequence*>& line : lines_) {
    if (!line.empty()) candidates.push_back(line.front());
  }
  const auto first =
      std::min_element(candidates.begin(), candidates.end(),
                       [](const Sequence* a, const Sequence* b) { return comes_before(*a, *b); });
  return first == candidates.end() ? nullptr : *first;
}

}  // namespace lockstep
