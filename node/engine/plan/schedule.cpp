#include "node/engine/plan/schedule.h"

#include "common/fault_points.h"

namespace lockstep {

void WaitingCursor::reset(const WaitingQueue& waiting, size_t tenant) {
  looked_at.clear();
  next = 0;
  shortest = waiting.shortest_of(tenant).begin();
  is_closed = false;
  may_overtake = true;
}

std::vector<Sequence*> Schedule::sequences() const {
  std::vector<Sequence*> out;
  out.reserve(chunks.size());
  for (const ScheduledChunk& chunk : chunks) out.push_back(chunk.sequence);
  return out;
}

bool Schedule::write_token_ids(ScheduledChunk& chunk, int32_t max_token_ids) {
  if (chunk.sequence->has_token_ids()) return true;
  if (n_token_ids + chunk.first_position > max_token_ids) return false;
  chunk.writes_token_ids = chunk.first_position > 0;
  n_token_ids += chunk.first_position;
  return true;
}

bool Schedule::refuses_blocks() {
  const bool refuses = fault(Fault::kAllocatorRefuses);
  is_refused |= refuses;
  return refuses;
}

}  // namespace lockstep
