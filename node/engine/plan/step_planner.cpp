#include "node/engine/plan/step_planner.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "common/check.h"
#include "node/engine/plan/scheduler.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {
namespace {

int32_t priority_of(const Sequence& sequence) { return sequence.owner().request.priority; }

}  // namespace

StepPlanner::StepPlanner(const Scheduler& scheduler, Schedule& out)
    : scheduler_(scheduler), out_(out), admission_(scheduler, out) {}

void StepPlanner::plan() {
  begin();
  out_.order.assign(scheduler_.running().begin(), scheduler_.running().end());
  std::ranges::sort(out_.order,
                    [](const Sequence* a, const Sequence* b) { return comes_before(*a, *b); });
  plan_decodes();
  if (out_.waits_for_flight) {
    out_.chunks.clear();
    out_.preempted.clear();
    return;
  }
  if (out_.preempted.empty()) admission_.open(n_growing_);
  plan_prompts();
}

void StepPlanner::plan_only(std::span<Sequence* const> sequences) {
  begin();
  std::ranges::copy_if(sequences, std::back_inserter(out_.order),
                       [](const Sequence* sequence) { return sequence->is_running(); });
  plan_decodes();
  plan_prompts();
}

void StepPlanner::begin() {
  const size_t n_tenants = scheduler_.waiting().n_tenants();
  out_.chunks.clear();
  out_.chunks.reserve(static_cast<size_t>(scheduler_.max_running()));
  out_.work = StepWork();
  out_.preempted.clear();
  out_.waits_for_flight = out_.is_refused = false;
  out_.n_token_ids = 0;
  out_.fair_share = scheduler_.fair_share();
  out_.ledger = scheduler_.pool().ledger();
  out_.order.clear();
  out_.order.reserve(static_cast<size_t>(scheduler_.max_running()));
  out_.prompts.resize(n_tenants);
  for (std::vector<PlannedPrompt>& prompts : out_.prompts) prompts.clear();
  out_.tenant_has_prompts.assign(n_tenants, 0);
  admission_.begin();
}

// --- Decodes -------------------------------------------------------------------------------------

void StepPlanner::plan_decodes() {
  for (size_t place = 0; place < out_.order.size() && !out_.waits_for_flight; ++place) {
    Sequence& sequence = *out_.order[place];
    if (sequence.state() != SeqState::kDecoding || sequence.is_length_planned() ||
        is_preempted(sequence)) {
      continue;
    }
    ScheduledChunk chunk{.sequence = &sequence,
                         .first_position = sequence.next_position(),
                         .n_tokens = 1,
                         .samples = true};
    const BlockTable& table = sequence.table();
    chunk.needs_block = chunk.first_position >= table.n_slots() && table.n_blocks_reserved() == 0;
    if ((chunk.needs_block && !find_block(place)) || !continue_running(chunk)) continue;
    out_.chunks.push_back(chunk);
    out_.work.add_decode(chunk.first_position);
    ++n_decodes_;
    n_growing_ += table.n_blocks() + table.n_blocks_reserved() < scheduler_.n_blocks_max(sequence);
  }
}

// Preempts sequences until there is a block for the sequence at `place`. Returns false if that
// sequence was preempted itself, or if the plan has to wait for the step in flight.
bool StepPlanner::find_block(size_t place) {
  Sequence& sequence = *out_.order[place];
  const int32_t tenant = sequence.owner().request.tenant;
  while (out_.refuses_blocks() || out_.ledger.n_available(tenant) < 1) {
    Sequence* victim = victim_after(place);
    if (victim == nullptr) victim = &sequence;
    if (!preempt(*victim) || victim == &sequence) return false;
  }
  out_.ledger.take(tenant, 1);
  return true;
}

// The sequence to preempt for the one at `place`; null if there is none.
Sequence* StepPlanner::victim_after(size_t place) const {
  const int32_t taker = out_.order[place]->owner().request.tenant;
  Sequence* victim = nullptr;
  const auto is_better = [](const Sequence& a, const Sequence& b) {
    if (priority_of(a) != priority_of(b)) return priority_of(a) > priority_of(b);
    if (a.next_position() != b.next_position()) return a.next_position() < b.next_position();
    return a.arrival() > b.arrival();
  };
  for (size_t i = place + 1; i < out_.order.size(); ++i) {
    Sequence& other = *out_.order[i];
    if (!other.is_running() || !scheduler_.is_preemptible(other) || is_preempted(other)) continue;
    if (!out_.ledger.makes_way(other.owner().request.tenant, taker)) continue;
    if (victim == nullptr || is_better(other, *victim)) victim = &other;
  }
  return victim;
}

bool StepPlanner::preempt(Sequence& victim) {
  if (victim.n_inflight() > 0) {
    out_.waits_for_flight = true;
    return false;
  }
  out_.preempted.push_back(&victim);
  return_blocks(victim);
  return true;
}

bool StepPlanner::is_preempted(const Sequence& sequence) const {
  return std::ranges::find(out_.preempted, &sequence) != out_.preempted.end();
}

// Returns to the plan's ledger what the victim was reserved, and the blocks that only it refers to.
void StepPlanner::return_blocks(const Sequence& victim) {
  TenantLedger& ledger = out_.ledger;
  const BlockPool& pool = scheduler_.pool();
  const BlockTable& table = victim.table();
  const std::span<const BlockRef> passed = victim.chain().refs();
  const auto drop = [&](BlockId id, uint32_t n_refs) {
    if (pool.n_refs(id) == n_refs) ledger.give_back(pool.owner(id), 1);
  };
  ledger.give_back(victim.owner().request.tenant, table.n_blocks_reserved());
  for (size_t b = 0; b < table.ids().size(); ++b) {
    const BlockId id = table.ids()[b];
    const bool is_entry = b < passed.size() && passed[b].id() == id;
    drop(id, is_entry ? 2 : 1);
    if (b < passed.size() && !is_entry) drop(passed[b].id(), 1);
  }
}

// --- Prompts -------------------------------------------------------------------------------------

void StepPlanner::plan_prompts() {
  for (Sequence* sequence : out_.order) {
    if (sequence->state() != SeqState::kPrefilling || is_preempted(*sequence)) continue;
    out_.prompts[tenant_of(*sequence)].push_back(
        {.sequence = sequence, .n_left = sequence->n_prefill_left()});
  }
  constexpr int32_t kNoPriority = std::numeric_limits<int32_t>::max();  // no prompt is left
  for (;;) {
    int32_t priority = kNoPriority;
    for (size_t tenant = 0; tenant < out_.prompts.size(); ++tenant) {
      const Sequence* first = first_in_queue(tenant);
      if (first != nullptr) priority = std::min(priority, priority_of(*first));
    }
    if (priority == kNoPriority) return;
    for (size_t tenant = 0; tenant < out_.prompts.size(); ++tenant) {
      const Sequence* first = first_in_queue(tenant);
      out_.tenant_has_prompts[tenant] = first != nullptr && priority_of(*first) == priority;
    }
    const int tenant = out_.fair_share.next(out_.tenant_has_prompts);
    if (tenant < 0 || !serve(static_cast<size_t>(tenant), priority)) return;
  }
}

// Gives a tenant one turn. Returns false if the step is full.
bool StepPlanner::serve(size_t tenant, int32_t priority) {
  std::vector<PlannedPrompt>& prompts = out_.prompts[tenant];
  const int id = static_cast<int>(tenant);
  while (out_.fair_share.allowance(id) > 0) {
    Sequence* first = first_in_queue(tenant);
    if (first == nullptr || priority_of(*first) != priority) {
      out_.fair_share.give_up(id);
      return true;
    }
    Sequence* other = shortest(tenant, *first);
    Sequence* next = out_.fair_share.is_turn_of_first(id) ? first : other;
    auto prompt = std::ranges::find(prompts, next, &PlannedPrompt::sequence);
    if (prompt == prompts.end() || prompt->chunk < 0) {
      const Opening opening = open_chunk(prompts, *next);
      if (opening == Opening::kStepIsFull) return false;
      if (opening == Opening::kPassedOver) continue;
      prompt = std::ranges::find(prompts, next, &PlannedPrompt::sequence);
    }
    int64_t allowance = out_.fair_share.allowance(id);
    if (first != other) allowance = std::min<int64_t>(allowance, out_.fair_share.turn_left(id));
    const int32_t n = extend_chunk(*prompt, allowance);
    if (n == 0) return false;
    if (prompt->n_left == 0) prompts.erase(prompt);
    out_.fair_share.charge(id, n);
    if (first != other) out_.fair_share.charge_turn(id, n);
  }
  return true;
}

// The tenant's first prompt, running or waiting; null if the step can serve none.
Sequence* StepPlanner::first_in_queue(size_t tenant) {
  const std::vector<PlannedPrompt>& prompts = out_.prompts[tenant];
  Sequence* running = prompts.empty() ? nullptr : prompts.front().sequence;
  Sequence* waiting = admission_.first(tenant);
  if (running == nullptr || waiting == nullptr) return running != nullptr ? running : waiting;
  return comes_before(*running, *waiting) ? running : waiting;
}

// The tenant's prompt with the fewest tokens to forward, of the same priority as `first`.
Sequence* StepPlanner::shortest(size_t tenant, Sequence& first) {
  Sequence* best = &first;
  int32_t n_left = std::numeric_limits<int32_t>::max();
  const auto consider = [&](Sequence* sequence, int32_t n) {
    if (sequence == nullptr || priority_of(*sequence) != priority_of(first)) return;
    if (n > n_left || (n == n_left && !comes_before(*sequence, *best))) return;
    best = sequence;
    n_left = n;
  };
  for (const PlannedPrompt& prompt : out_.prompts[tenant]) consider(prompt.sequence, prompt.n_left);
  if (Sequence* head = admission_.first(tenant)) {
    consider(head, head->n_to_forward());
    if (Sequence* other = admission_.overtaker(tenant, *head)) {
      consider(other, other->n_to_forward());
    }
  }
  return best;
}

// Opens a chunk, still without tokens, for a sequence that runs or waits; `prompts` are those of
// its tenant.
StepPlanner::Opening StepPlanner::open_chunk(std::vector<PlannedPrompt>& prompts,
                                             Sequence& sequence) {
  const bool waits = sequence.is_waiting();
  ScheduledChunk chunk{
      .sequence = &sequence,
      .first_position = waits ? admission_.match(sequence) : sequence.next_position()};
  // Loads take step time as well, so they are added before the rows left are computed.
  const int32_t n_transfers = n_loads_of(sequence);
  out_.work.n_transfers += n_transfers;
  if (n_rows_left(chunk.first_position) == 0) {
    out_.work.n_transfers -= n_transfers;
    return Opening::kStepIsFull;
  }
  if (waits ? !admission_.admit(sequence, chunk) : !continue_running(chunk)) {
    out_.work.n_transfers -= n_transfers;
    if (!waits) std::erase_if(prompts, [&](auto& p) { return p.sequence == &sequence; });
    return Opening::kPassedOver;
  }
  if (waits) {
    const auto place = std::ranges::find_if(
        prompts, [&](auto& prompt) { return comes_before(sequence, *prompt.sequence); });
    prompts.insert(place, {.sequence = &sequence});
  }
  auto prompt = std::ranges::find(prompts, &sequence, &PlannedPrompt::sequence);
  prompt->chunk = static_cast<int64_t>(out_.chunks.size());
  prompt->n_left = chunk.prefill_end - chunk.first_position;
  out_.chunks.push_back(chunk);
  return Opening::kOpened;
}

// The number of host blocks that the sequence's next chunk loads. For a waiting sequence they are
// in out_.match.
int32_t StepPlanner::n_loads_of(const Sequence& sequence) const {
  if (sequence.is_waiting()) return static_cast<int32_t>(out_.match.host.size());
  return sequence.n_inflight() == 0 ? static_cast<int32_t>(sequence.host().size()) : 0;
}

// Adds up to `allowance` tokens to the prompt's chunk and returns how many; 0 if the step is full.
int32_t StepPlanner::extend_chunk(PlannedPrompt& prompt, int64_t allowance) {
  ScheduledChunk& chunk = out_.chunks[static_cast<size_t>(prompt.chunk)];
  const int32_t position = chunk.first_position + chunk.n_tokens;
  const auto n =
      static_cast<int32_t>(std::min<int64_t>({prompt.n_left, n_rows_left(position), allowance}));
  prompt.n_left -= n;
  chunk.samples = prompt.n_left == 0;
  chunk.n_tokens += n;
  if (n > 0) out_.work.add_chunk(position, n, chunk.samples);
  return n;
}

// --- Room in the step ----------------------------------------------------------------------------

// How many prefill rows from first_position on still fit into the step.
int32_t StepPlanner::n_rows_left(int32_t first_position) const {
  const int32_t n_left = scheduler_.limits().max_tokens - out_.n_tokens();
  const auto target = std::chrono::duration<double>(scheduler_.config().itl_target).count();
  if (target == 0 || n_decodes_ == 0) return n_left;
  const int32_t n_least = std::max(kMinPrefillRows - (out_.n_tokens() - n_decodes_), 0);
  return std::min(n_left, std::max(n_least, scheduler_.step_time().max_rows(
                                                out_.work, first_position, n_left, target)));
}

// Fills in the chunk of a sequence that runs: its prefill end, copies, loads and token_ids. Returns
// false if the plan has no room for the latter.
bool StepPlanner::continue_running(ScheduledChunk& chunk) {
  const Sequence& sequence = *chunk.sequence;
  const bool is_first = sequence.n_inflight() == 0;
  chunk.prefill_end = sequence.next_position() + sequence.n_prefill_left();
  chunk.copies = is_first && sequence.awaits_copy();
  chunk.loads = is_first && sequence.awaits_load();
  return out_.write_token_ids(chunk, scheduler_.limits().max_cached_tokens());
}

}  // namespace lockstep
