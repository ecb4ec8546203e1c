#include "node/engine/checks/invariants.h"

#include <algorithm>

namespace lockstep {
namespace {

int check_progress(const Sequence& sequence) {
  const int32_t n_planned = sequence.next_position();
  if (n_planned > sequence.table().n_slots()) return 5;
  const int32_t n_tokens = sequence.n_known() + sequence.n_samples_inflight();
  // A retiring sequence may have a sample in flight whose result will be discarded.
  const bool is_open = sequence.is_running();
  if (n_planned > n_tokens || (is_open && n_tokens > sequence.n_tokens_max())) return 6;
  if (sequence.n_cached() < 0 || sequence.n_cached() >= sequence.n_known()) return 11;
  return 0;
}

// No running sequence will write to a block that is in the prefix cache.
bool no_row_writes_a_kept_block(const Scheduler& scheduler) {
  for (const Sequence* sequence : scheduler.running()) {
    const std::span<const BlockId> ids = sequence->table().ids();
    const auto next = static_cast<size_t>(sequence->n_computed() / scheduler.limits().block_size);
    for (size_t b = next; b < ids.size(); ++b) {
      if (scheduler.pool().is_kept(ids[b])) return false;
    }
  }
  return true;
}

int check_ownership(const Scheduler& scheduler) {
  const BlockPool& pool = scheduler.pool();
  std::vector<uint32_t> n_uses(static_cast<size_t>(pool.n_blocks_total()), 0);
  const auto count = [&](BlockId id) { ++n_uses[static_cast<size_t>(raw(id))]; };
  for (const Sequence* sequence : scheduler.running()) {
    for (BlockId id : sequence->table().ids()) count(id);
    for (const BlockRef& passed : sequence->chain().refs()) count(passed.id());
    if (sequence->awaits_copy()) count(sequence->partial().id());
  }
  for (int32_t i = 0; i < pool.n_blocks_total(); ++i) {
    const uint32_t n = n_uses[static_cast<size_t>(i)];
    if (pool.n_refs(BlockId{i}) != n || (n > 1 && !pool.is_kept(BlockId{i}))) return 4;
  }
  return no_row_writes_a_kept_block(scheduler) ? 0 : 4;
}

// Blocks that the sequence has and those that it has reserved.
int32_t n_blocks_held(const Sequence& sequence) {
  return sequence.table().n_blocks() + sequence.table().n_blocks_reserved();
}

int check_reservations(const Scheduler& scheduler) {
  for (const Sequence* sequence : scheduler.running()) {
    const int32_t n_max = scheduler.n_blocks_max(*sequence);
    const int32_t n_least = scheduler.is_preemptible(*sequence) ? 0 : n_max;
    const int32_t n = n_blocks_held(*sequence);
    if (n < n_least || n > n_max) return 7;
    if (sequence->n_preemptions() > scheduler.config().max_preemptions) return 7;
  }
  std::vector<Sequence*> waiting = scheduler.waiting().deferred().all();
  for (size_t tenant = 0; tenant < scheduler.waiting().n_tenants(); ++tenant) {
    const std::deque<Sequence*>& queue = scheduler.waiting().of(tenant);
    waiting.insert(waiting.end(), queue.begin(), queue.end());
  }
  for (const Sequence* sequence : waiting) {
    if (!sequence->is_waiting() || n_blocks_held(*sequence) > 0) return 7;
    if (sequence->n_preemptions() > scheduler.config().max_preemptions) return 7;
  }
  return 0;
}

bool nothing_is_held(const BlockPool& pool) {
  return pool.n_blocks(BlockState::kActive) == 0 && pool.n_blocks_reserved() == 0;
}

int check_slots(const Scheduler& scheduler) {
  std::vector<bool> is_taken(static_cast<size_t>(scheduler.max_running()), false);
  for (const Sequence* sequence : scheduler.running()) {
    const int32_t slot = raw(sequence->slot());
    if (slot < 0 || slot >= scheduler.max_running()) return 8;
    if (is_taken[static_cast<size_t>(slot)]) return 8;
    is_taken[static_cast<size_t>(slot)] = true;
  }
  return 0;
}

}  // namespace

int check_invariants(const Scheduler& scheduler, bool full) {
  if (const int rule = scheduler.pool().check_invariants(full)) return rule;
  for (const Sequence* sequence : scheduler.running()) {
    if (const int rule = check_progress(*sequence)) return rule;
  }
  if (static_cast<int32_t>(scheduler.running().size()) > scheduler.max_running()) return 8;
  if (scheduler.running().empty() && !nothing_is_held(scheduler.pool())) return 12;
  if (!full) return 0;
  for (auto* check : {check_ownership, check_reservations, check_slots}) {
    if (const int rule = check(scheduler)) return rule;
  }
  const HostTier* tier = scheduler.cache().host_tier();
  if (tier != nullptr && tier->check_invariants() != 0) return 13;
  return scheduler.cache().check_invariants() == 0 ? 0 : 10;
}

int check_schedule(const Scheduler& scheduler, const Schedule& schedule) {
  int32_t n_tokens = 0;
  size_t n_decoding = 0;
  for (const ScheduledChunk& chunk : schedule.chunks) {
    n_tokens += chunk.n_tokens;
    n_decoding += chunk.sequence->state() == SeqState::kDecoding;
  }
  if (n_tokens != schedule.n_tokens() || n_tokens > scheduler.limits().max_tokens) return 9;
  const auto& running = scheduler.running();
  const auto n_growing = std::count_if(running.begin(), running.end(), [](const Sequence* s) {
    return s->state() == SeqState::kDecoding && !s->is_length_planned();
  });
  const auto n_excused = std::ranges::count_if(schedule.preempted, [](const Sequence* s) {
    return s->state() == SeqState::kDecoding && !s->is_length_planned();
  });
  return n_decoding + static_cast<size_t>(n_excused) == static_cast<size_t>(n_growing) ? 0 : 9;
}

}  // namespace lockstep
