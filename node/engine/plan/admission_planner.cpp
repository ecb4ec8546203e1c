#include "node/engine/plan/admission_planner.h"

#include <algorithm>

#include "node/engine/plan/scheduler.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {
namespace {

bool is_looked_at(const WaitingCursor& cursor, const Sequence& sequence) {
  return std::ranges::find(cursor.looked_at, &sequence) != cursor.looked_at.end();
}

}  // namespace

AdmissionPlanner::AdmissionPlanner(const Scheduler& scheduler, Schedule& out)
    : scheduler_(scheduler), out_(out) {}

void AdmissionPlanner::begin() {
  const size_t n_tenants = scheduler_.waiting().n_tenants();
  out_.shared.clear();
  out_.loaded.clear();
  out_.n_slow_loads = 0;
  out_.deferred.clear();
  out_.waiting.resize(n_tenants);
  for (size_t tenant = 0; tenant < n_tenants; ++tenant) {
    out_.waiting[tenant].reset(scheduler_.waiting(), tenant);
  }
  admits_ = false;
}

void AdmissionPlanner::open(int32_t n_growing) {
  admits_ = true;
  n_running_ = static_cast<int32_t>(scheduler_.running().size());
  n_growing_ = n_growing;
}

// --- Which sequence is next ----------------------------------------------------------------------

bool AdmissionPlanner::is_open(const WaitingCursor& cursor) const {
  return admits_ && !cursor.is_closed && n_running_ < scheduler_.max_running() &&
         out_.deferred.size() < kMaxDeferralsPerStep;
}

Sequence* AdmissionPlanner::first(size_t tenant) {
  WaitingCursor& cursor = out_.waiting[tenant];
  if (!is_open(cursor)) return nullptr;
  const std::deque<Sequence*>& waiting = scheduler_.waiting().of(tenant);
  while (cursor.next < waiting.size() && is_looked_at(cursor, *waiting[cursor.next])) {
    ++cursor.next;
  }
  return cursor.next < waiting.size() ? waiting[cursor.next] : nullptr;
}

Sequence* AdmissionPlanner::overtaker(size_t tenant, const Sequence& head) {
  WaitingCursor& cursor = out_.waiting[tenant];
  if (!cursor.may_overtake || n_running_ + 1 >= scheduler_.max_running()) return nullptr;
  const WaitingQueue::Shortest& waiting = scheduler_.waiting().shortest_of(tenant);
  while (cursor.shortest != waiting.end() && is_looked_at(cursor, **cursor.shortest)) {
    ++cursor.shortest;
  }
  return cursor.shortest != waiting.end() && *cursor.shortest != &head ? *cursor.shortest : nullptr;
}

// --- Share, load or compute ----------------------------------------------------------------------

// At least one token is left to forward, because its logits are needed.
int32_t AdmissionPlanner::match(const Sequence& sequence) {
  out_.match.entries.clear();
  out_.match.host.clear();
  drop_partial();
  loading_is_slower_ = false;
  if (!sequence.owner().takes_part_in_cache) return 0;
  scheduler_.cache().match(sequence.prefix(), sequence.tokens(), sequence.n_known() - 1,
                           out_.match);
  if (out_.match.host.empty()) return n_matched();
  loading_is_slower_ =
      scheduler_.n_loading_admissions() >= kMinMeasuredLoads && !is_loading_cheaper();
  // An occasional load that looks slower shows when loading has become faster.
  if (loading_is_slower_ && (scheduler_.n_slow_loads() + 1) % kLoadProbeInterval != 0) {
    out_.match.host.clear();
  } else {
    drop_partial();
  }
  return n_matched();
}

void AdmissionPlanner::drop_partial() {
  out_.match.partial = PrefixIndex::kNone;
  out_.match.n_partial = 0;
}

// Whether loading the matched host blocks is predicted to take no longer than computing them.
bool AdmissionPlanner::is_loading_cheaper() const {
  const int32_t block_size = scheduler_.limits().block_size;
  const auto n_blocks = static_cast<int32_t>(out_.match.host.size());
  StepWork loading, computing;
  loading.n_transfers = n_blocks;
  computing.add_chunk(static_cast<int32_t>(out_.match.entries.size()) * block_size,
                      n_blocks * block_size, /*samples=*/false);
  const StepTime& time = scheduler_.step_time();
  return time.predict_extra(loading) <= time.predict_extra(computing);
}

int32_t AdmissionPlanner::n_matched() const {
  const size_t n_blocks = out_.match.entries.size() + out_.match.host.size();
  return static_cast<int32_t>(n_blocks) * scheduler_.limits().block_size + out_.match.n_partial;
}

// --- Admit, defer or leave -----------------------------------------------------------------------

bool AdmissionPlanner::admit(Sequence& sequence, ScheduledChunk& chunk) {
  WaitingCursor& cursor = out_.waiting[tenant_of(sequence)];
  cursor.looked_at.push_back(&sequence);
  if (defer(sequence)) return false;
  chunk.n_blocks_reserved = scheduler_.n_blocks_to_reserve(sequence);
  const int32_t tenant = sequence.owner().request.tenant;
  const Sequence* head = first(tenant_of(sequence));
  const bool overtakes = head != nullptr && comes_before(*head, sequence);
  const int32_t n_kept = overtakes ? scheduler_.n_blocks_to_reserve(*head) : 0;
  if (!reserve(tenant, chunk.n_blocks_reserved, n_kept)) {
    if (overtakes) {
      cursor.may_overtake = false;
      return false;
    }
    // Whether the tenant's ceiling alone rules the sequence out.
    cursor.is_closed = out_.ledger.n_below_ceiling(tenant) < chunk.n_blocks_reserved;
    admits_ = cursor.is_closed;
    return false;
  }
  chunk.first_position = n_matched();
  chunk.prefill_end = sequence.n_known();
  if (!out_.write_token_ids(chunk, scheduler_.limits().max_cached_tokens())) {
    admits_ = false;
    return false;
  }
  chunk.admits = true;
  chunk.is_new = sequence.is_new();
  chunk.first_shared = out_.shared.size();
  chunk.n_shared = out_.match.entries.size();
  chunk.first_loaded = out_.loaded.size();
  chunk.n_loaded = out_.match.host.size();
  chunk.loads = chunk.n_loaded > 0;
  chunk.partial = out_.match.partial;
  chunk.copies = out_.match.n_partial > 0;
  out_.shared.insert(out_.shared.end(), out_.match.entries.begin(), out_.match.entries.end());
  out_.loaded.insert(out_.loaded.end(), out_.match.host.begin(), out_.match.host.end());
  out_.n_slow_loads += loading_is_slower_;
  ++n_running_;
  return true;
}

// Whether a sequence that runs, or is admitted by this plan, computes blocks that this sequence
// would share, soon enough to wait for them. If so, the deferral is added to the plan. The plan
// preempts no sequence, so those that run go on.
bool AdmissionPlanner::defer(Sequence& sequence) {
  if (sequence.n_steps_deferred() >= Scheduler::kMaxStepsDeferred || !sequence.is_new()) {
    return false;
  }
  const auto follow = [&](const Sequence& other, int32_t n_computed) {
    const int32_t n_blocks = n_blocks_worth_waiting_for(other, n_computed, sequence);
    const int32_t n_left = sequence.n_known() - n_blocks * scheduler_.limits().block_size;
    if (n_blocks > 0) out_.deferred.push_back({&sequence, &other, n_blocks, n_left});
    return n_blocks > 0;
  };
  return std::ranges::any_of(scheduler_.running(),
                             [&](const Sequence* other) {
                               return other->is_running() && other->chain().publishes() &&
                                      follow(*other, other->n_computed());
                             }) ||
         std::ranges::any_of(out_.chunks, [&](const ScheduledChunk& chunk) {
           return chunk.admits && follow(*chunk.sequence, chunk.first_position);
         });
}

// How many blocks of its prompt the sequence should wait for `other` to publish; 0 if waiting is
// not worth it. It is worth it if `other` has at most twice as many tokens left to compute as the
// sequence would save.
int32_t AdmissionPlanner::n_blocks_worth_waiting_for(const Sequence& other, int32_t n_computed,
                                                     const Sequence& sequence) const {
  if (sequence.n_cuts() > 0) return 0;  // its context does not begin with its prompt
  const int32_t block_size = scheduler_.limits().block_size;
  const auto n_useful = static_cast<size_t>((sequence.n_prompt() - 1) / block_size);
  std::span<const uint64_t> wanted = sequence.owner().prefix.blocks;
  wanted = wanted.first(std::min(wanted.size(), n_useful));
  const std::vector<uint64_t>& theirs = other.owner().prefix.blocks;
  const size_t next = out_.match.entries.size() + out_.match.host.size();
  size_t end = next;
  while (end < wanted.size() && end < theirs.size() && theirs[end] == wanted[end]) ++end;
  const auto n_saved = static_cast<int32_t>(end - next) * block_size;
  const auto n_blocks = static_cast<int32_t>(end);
  const int32_t n_left = n_blocks * block_size - n_computed;
  const bool is_at_prompt =
      other.n_outputs() == 0 || (other.is_resumed() && other.n_cuts() == 0 && n_left > 0);
  const bool is_worth_it = n_saved > 0 && is_at_prompt && n_left <= 2 * n_saved;
  return is_worth_it ? n_blocks : 0;
}

// --- Room in the pool ----------------------------------------------------------------------------

// Takes the blocks for admitting a sequence with out_.match from the plan's ledger. Returns false,
// and takes none, if the pool has too few, counting n_kept blocks that must be left. Drops the
// partial match if there is room only without it.
bool AdmissionPlanner::reserve(int32_t tenant, int32_t n_blocks, int32_t n_kept) {
  if (try_reserve(tenant, n_blocks, n_kept)) return true;
  if (out_.match.n_partial == 0) return false;
  drop_partial();
  return try_reserve(tenant, n_blocks, n_kept);
}

// A cached block that is shared, or copied from, cannot be evicted, so it counts as taken. One
// block is left for each decode that may outgrow its reservation.
bool AdmissionPlanner::try_reserve(int32_t tenant, int32_t n_blocks, int32_t n_kept) {
  if (out_.refuses_blocks()) return false;
  const PrefixMatch& match = out_.match;
  const PrefixCache& cache = scheduler_.cache();
  const auto n_shared = static_cast<int32_t>(match.entries.size());
  int32_t n_needed = n_blocks - n_shared + cache.n_cached_of(match.entries);
  if (match.n_partial > 0) n_needed += cache.n_cached_of(std::span(&match.partial, 1));
  if (n_needed + n_growing_ + n_kept > out_.ledger.n_available(tenant)) return false;
  out_.ledger.take(tenant, n_needed);
  return true;
}

}  // namespace lockstep
