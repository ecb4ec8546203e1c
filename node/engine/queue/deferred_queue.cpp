#include "node/engine/queue/deferred_queue.h"

#include "common/check.h"

namespace lockstep {

void DeferredQueue::add(const Deferral& deferral, uint64_t until) {
  Sequence* const sequence = deferral.sequence;
  const Entry entry{deferral.leader, deferral.n_blocks, until, deferral.n_to_forward};
  CHECK(entries_.emplace(sequence, entry).second);
  by_leader_[deferral.leader].emplace(deferral.n_blocks, sequence);
  by_step_.emplace(until, sequence);
  n_tokens_to_forward_ += deferral.n_to_forward;
}

bool DeferredQueue::remove(Sequence& sequence) {
  const auto found = entries_.find(&sequence);
  if (found == entries_.end()) return false;
  const Entry& entry = found->second;
  const auto group = by_leader_.find(entry.leader);
  group->second.erase({entry.n_blocks, &sequence});
  if (group->second.empty()) by_leader_.erase(group);
  by_step_.erase({entry.until, &sequence});
  n_tokens_to_forward_ -= entry.n_to_forward;
  entries_.erase(found);
  return true;
}

Sequence* DeferredQueue::take_served(const Sequence& leader, int32_t n_blocks) {
  const auto group = by_leader_.find(&leader);
  if (group == by_leader_.end()) return nullptr;
  const auto [wanted, sequence] = *group->second.begin();
  if (wanted > n_blocks) return nullptr;
  remove(*sequence);
  return sequence;
}

Sequence* DeferredQueue::take_overdue(uint64_t step) {
  if (by_step_.empty() || by_step_.begin()->first > step) return nullptr;
  Sequence* const sequence = by_step_.begin()->second;
  remove(*sequence);
  return sequence;
}

std::vector<Sequence*> DeferredQueue::all() const {
  std::vector<Sequence*> out;
  out.reserve(entries_.size());
  for (const auto& [sequence, entry] : entries_) out.push_back(sequence);
  return out;
}

}  // namespace lockstep
