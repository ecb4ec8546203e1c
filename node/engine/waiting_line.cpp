#include "node/engine/waiting_line.h"

#include <algorithm>

#include "common/check.h"
#include "node/engine/live_request.h"

namespace lockstep {
namespace {

size_t tenant_of(const Sequence& sequence) {
  return static_cast<size_t>(sequence.owner().request.tenant);
}

bool stands_for_a_new_request(const Sequence& sequence) {
  return sequence.choice() == 0 && sequence.is_new();
}

}  // namespace

bool comes_before(const Sequence& a, const Sequence& b) {
  const int32_t first = a.owner().request.priority;
  const int32_t second = b.owner().request.priority;
  return first != second ? first < second : a.arrival() < b.arrival();
}

void WaitingLine::enter(Sequence& sequence) {
  CHECK(sequence.is_waiting() && tenant_of(sequence) < lines_.size());
  if (sequence.is_new()) sequence.arrive(next_arrival_++);
  std::deque<Sequence*>& line = lines_[tenant_of(sequence)];
  const auto place =
      std::upper_bound(line.begin(), line.end(), &sequence,
                       [](const Sequence* a, const Sequence* b) { return comes_before(*a, *b); });
  line.insert(place, &sequence);
  ++n_sequences_;
  n_new_requests_ += stands_for_a_new_request(sequence);
}

void WaitingLine::leave(Sequence& sequence) {
  std::deque<Sequence*>& line = lines_[tenant_of(sequence)];
  const auto place = std::find(line.begin(), line.end(), &sequence);
  CHECK(place != line.end());
  line.erase(place);
  --n_sequences_;
  n_new_requests_ -= stands_for_a_new_request(sequence);
}

Sequence* WaitingLine::first() const {
  Sequence* first = nullptr;
  for (const std::deque<Sequence*>& line : lines_) {
    if (!line.empty() && (first == nullptr || comes_before(*line.front(), *first))) {
      first = line.front();
    }
  }
  return first;
}

}  // namespace lockstep
