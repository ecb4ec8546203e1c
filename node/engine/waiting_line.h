// WaitingLine: the sequences that have no slot yet, a line for each tenant, each in order of
// priority and then of arrival. One that was sent back keeps its arrival, so it stands in front of
// those that came later. Engine thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "node/engine/sequence.h"

namespace lockstep {

// Whether `a` is to be served before `b`: lower priority numbers first, then who came first.
bool comes_before(const Sequence& a, const Sequence& b);

class WaitingLine {
 public:
  explicit WaitingLine(size_t n_tenants) : lines_(n_tenants) {}

  // Gives it its place among those of its tenant; a sequence that is new arrives now.
  void enter(Sequence& sequence);
  // CHECKs that it is there.
  void leave(Sequence& sequence);

  const std::deque<Sequence*>& of(size_t tenant) const { return lines_[tenant]; }
  size_t n_tenants() const { return lines_.size(); }
  int32_t n_sequences() const { return n_sequences_; }
  // Requests of which not one choice has been admitted, and the tokens of their prompts.
  int32_t n_new_requests() const { return n_new_requests_; }
  int64_t n_new_tokens() const { return n_new_tokens_; }
  bool empty() const { return n_sequences_ == 0; }
  // Who comes before all others, or null.
  Sequence* first() const;

 private:
  void count(const Sequence& sequence, int sign);

  std::vector<std::deque<Sequence*>> lines_;  // [n_tenants]
  uint64_t next_arrival_ = 1;
  int32_t n_sequences_ = 0;
  int32_t n_new_requests_ = 0;
  int64_t n_new_tokens_ = 0;
};

}  // namespace lockstep
