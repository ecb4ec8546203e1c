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

void WaitingLine::enter(Sequence& sequence) {
  CHECK(sequence.is_waiting() && tenant_of(sequence) < lines_.size());
  if (sequence.is_new()) sequence.arrive(next_arrival_++);
  std::deque<Sequence*>& line = lines_[tenant_of(sequence)];
  const auto place =
      std::upper_bound(line.begin(), line.end(), &sequence,
                       [](const Sequence* a, const Sequence* b) { return comes_before(*a, *b); });
  line.insert(place, &sequence);
  count(sequence, 1);
}

void WaitingLine::leave(Sequence& sequence) {
  std::deque<Sequence*>& line = lines_[tenant_of(sequence)];
  const auto place = std::find(line.begin(), line.end(), &sequence);
  CHECK(place != line.end());
  line.erase(place);
  count(sequence, -1);
}

// A new request is counted with its first choice.
void WaitingLine::count(const Sequence& sequence, int sign) {
  n_sequences_ += sign;
  if (sequence.choice() != 0 || !sequence.is_new()) return;
  n_new_requests_ += sign;
  n_new_tokens_ += sign * int64_t{sequence.n_prompt()};
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
