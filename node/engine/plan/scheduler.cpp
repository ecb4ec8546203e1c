#include "node/engine/plan/scheduler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/check.h"
#include "common/fault_points.h"
#include "node/engine/plan/step_planner.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {
namespace {

std::vector<int32_t> weights_of(const std::vector<TenantConfig>& tenants) {
  std::vector<int32_t> weights;
  weights.reserve(tenants.size());
  for (const TenantConfig& tenant : tenants) weights.push_back(tenant.weight);
  return weights;
}

Retention retention_of(const Sequence& sequence) {
  const LiveRequest& request = sequence.owner();
  if (!request.request.retention) return {};
  return {.priority = request.request.retention->priority, .until = request.retained_until};
}

}  // namespace

Scheduler::Scheduler(const EngineConfig& config, BlockPool& pool, PrefixCache& cache)
    : config_(config),
      pool_(pool),
      cache_(cache),
      max_running_(config.kv_cache ? std::min(config.limits.max_seqs, config.limits.max_tokens)
                                   : 1),
      waiting_(config.tenants.size()),
      fair_share_(weights_of(config.tenants)),
      output_estimates_(config.tenants.size()) {
  CHECK(max_running_ > 0 && config.limits.block_size > 0);
  running_.reserve(static_cast<size_t>(max_running_));
  for (int32_t i = max_running_ - 1; i >= 0; --i) free_slots_.push_back(SeqSlot{i});
}

void Scheduler::enqueue(Sequence& sequence) { insert(sequence); }

void Scheduler::insert(Sequence& sequence) {
  const int32_t n_known = sequence.n_known();
  const int32_t n_found = cache_.n_blocks_found(sequence.prefix(), sequence.tokens(), n_known - 1);
  sequence.expect_to_forward(n_known - n_found * limits().block_size);
  waiting_.enter(sequence);
}

// --- Sequences deferred for a prefix in flight ---------------------------------------------------

void Scheduler::defer(const Deferral& deferral) {
  const int32_t n_left = kMaxStepsDeferred - deferral.sequence->n_steps_deferred();
  deferral.sequence->defer(n_commits_);
  waiting_.defer(deferral, n_commits_ + static_cast<uint64_t>(n_left));
}

void Scheduler::recall_overdue() {
  while (Sequence* sequence = waiting_.deferred().take_overdue(n_commits_)) {
    sequence->end_deferral(n_commits_);
    waiting_.readmit(*sequence);
  }
}

void Scheduler::recall_followers(const Sequence& leader) {
  if (waiting_.deferred().empty()) return;
  const bool goes_on = leader.is_running() && leader.chain().publishes();
  const int32_t n_published = leader.chain().n_blocks();
  const int32_t n_served = goes_on ? n_published : std::numeric_limits<int32_t>::max();
  while (Sequence* sequence = waiting_.deferred().take_served(leader, n_served)) {
    const int32_t n_found = std::min(n_published, (sequence->n_known() - 1) / limits().block_size);
    sequence->end_deferral(n_commits_);
    if (goes_on) {
      sequence->expect_to_forward(sequence->n_known() - n_found * limits().block_size);
    }
    waiting_.readmit(*sequence);
  }
}

// --- Plans ---------------------------------------------------------------------------------------

void Scheduler::plan(Schedule& out) const { StepPlanner(*this, out).plan(); }

void Scheduler::plan_only(std::span<Sequence* const> sequences, Schedule& out) const {
  StepPlanner(*this, out).plan_only(sequences);
}

RunningLoad Scheduler::running_load() const {
  RunningLoad load;
  for (const Sequence* sequence : running_) {
    if (!sequence->is_running()) continue;
    const int32_t n_left = sequence->n_prefill_uncomputed();
    load.n_prefill_tokens += n_left;
    if (n_left == 0) load.n_context_tokens += sequence->n_known();
  }
  return load;
}

int32_t Scheduler::n_blocks_max(const Sequence& sequence) const {
  return n_blocks_for(sequence.n_tokens_max(), limits().block_size);
}

bool Scheduler::is_preemptible(const Sequence& sequence) const {
  return config_.reservation == ReservationMode::kOptimistic &&
         sequence.n_preemptions() < config_.max_preemptions;
}

int32_t Scheduler::n_blocks_to_reserve(const Sequence& sequence) const {
  if (!is_preemptible(sequence)) return n_blocks_max(sequence);
  const int32_t n_likely =
      std::max(output_estimates_[tenant_of(sequence)].tokens() - sequence.n_outputs(), 1);
  const int64_t n_tokens =
      std::min<int64_t>(int64_t{sequence.n_known()} + n_likely, sequence.n_tokens_max());
  return n_blocks_for(n_tokens, limits().block_size);
}

void Scheduler::commit(Schedule& schedule) {
  ++n_commits_;
  HostTier* const tier = cache_.host_tier();
  if (tier != nullptr) tier->begin_step();
  for (Sequence* sequence : schedule.preempted) requeue(*sequence, RequeueReason::kPreempted);
  for (const ScheduledChunk& chunk : schedule.chunks) {
    if (chunk.needs_block) extend(*chunk.sequence);
  }
  // Shared and loaded blocks must be referenced before anything is evicted.
  for (const ScheduledChunk& chunk : schedule.chunks) {
    if (chunk.admits) admit(chunk, schedule);
  }
  for (const ScheduledChunk& chunk : schedule.chunks) {
    make_room(chunk);
    CHECK_EQ(chunk.first_position, chunk.sequence->next_position());
    chunk.sequence->plan_chunk(chunk.n_tokens, chunk.samples);
    if (fault(Fault::kPublishedWhenPlanned)) {
      publish(*chunk.sequence,
              std::min(chunk.sequence->next_position(), chunk.sequence->n_known()));
    }
  }
  schedule.stores.clear();
  if (tier != nullptr) tier->take_stores(schedule.stores);
  schedule.work.n_transfers += static_cast<int32_t>(schedule.stores.size());
  n_slow_loads_ += static_cast<uint64_t>(schedule.n_slow_loads);
  for (const Deferral& deferral : schedule.deferred) defer(deferral);
  recall_overdue();
  fair_share_ = schedule.fair_share;
}

void Scheduler::extend(Sequence& sequence) {
  auto reservation = pool_.reserve(1, sequence.owner().request.tenant);
  CHECK(reservation.has_value());
  sequence.extend(std::move(*reservation));
}

void Scheduler::admit(const ScheduledChunk& chunk, const Schedule& schedule) {
  Sequence& sequence = *chunk.sequence;
  CHECK(!free_slots_.empty());
  waiting_.leave(sequence);
  const auto entries = std::span(schedule.shared).subspan(chunk.first_shared, chunk.n_shared);
  const int32_t tenant = sequence.owner().request.tenant;
  const int32_t n_max = n_blocks_max(sequence);
  std::vector<BlockRef> shared = cache_.share(entries, tenant);
  auto reservation =
      pool_.reserve(chunk.n_blocks_reserved - static_cast<int32_t>(chunk.n_shared), tenant);
  CHECK(reservation.has_value());
  BlockTable table;
  table.start(std::move(*reservation), limits().block_size, n_max, std::move(shared));
  BlockRef partial;
  if (chunk.partial != PrefixIndex::kNone) partial = cache_.share_partial(chunk.partial, tenant);
  PrefixChain chain;
  if (sequence.owner().takes_part_in_cache) {
    chain = cache_.start_chain(sequence.prefix(), entries, n_max, tenant, retention_of(sequence));
  }
  n_loading_admissions_ += chunk.n_loaded > 0;
  std::vector<HostPin> host;
  host.reserve(chunk.n_loaded);
  for (size_t i = 0; i < chunk.n_loaded; ++i) {
    host.push_back(cache_.host_tier()->pin(schedule.loaded[chunk.first_loaded + i]));
  }
  sequence.admit(free_slots_.back(), std::move(table), std::move(chain), chunk.first_position,
                 std::move(partial), std::move(host));
  free_slots_.pop_back();
  running_.push_back(&sequence);
}

// Evicts cached blocks until the chunk's new blocks are free.
void Scheduler::make_room(const ScheduledChunk& chunk) {
  const int32_t n_covered =
      n_blocks_for(chunk.first_position + chunk.n_tokens, limits().block_size);
  const int32_t n_new = std::max(0, n_covered - chunk.sequence->table().n_blocks());
  cache_.make_room(n_new, chunk.sequence->owner().request.tenant);
}

void Scheduler::publish(Sequence& sequence, int32_t n_tokens) {
  if (!sequence.chain().publishes()) return;
  n_tokens = static_cast<int32_t>(std::min<int64_t>(n_tokens, sequence.table().n_slots()));
  cache_.publish(sequence.chain(), sequence.tokens(), n_tokens, sequence.table().ids());
}

bool Scheduler::finish(const ScheduledChunk& chunk, bool is_sound) {
  Sequence& sequence = *chunk.sequence;
  sequence.finish_chunk(chunk.n_tokens, chunk.samples);
  if (!is_sound) PrefixCache::stop_publishing(sequence.chain());
  // A row planned beyond the end of the output has a token that was never appended.
  publish(sequence, std::min(sequence.n_computed(), sequence.n_known()));
  recall_followers(sequence);
  return release_if_done(sequence);
}

bool Scheduler::undo(const ScheduledChunk& chunk) {
  chunk.sequence->undo_chunk(chunk.n_tokens, chunk.samples);
  return release_if_done(*chunk.sequence);
}

void Scheduler::undo_stores(const Schedule& schedule) {
  for (const HostCopy& store : schedule.stores) cache_.host_tier()->drop(store.to);
}

void Scheduler::quarantine(std::span<const HostBlockId> blocks) {
  for (HostBlockId block : blocks) cache_.host_tier()->quarantine(block);
}

void Scheduler::requeue_failed_loads() {
  const std::vector<Sequence*> running = running_;
  for (Sequence* sequence : running) {
    if (!sequence->is_running()) continue;
    const auto is_gone = [](const HostPin& pin) { return !pin.is_valid(); };
    if (std::ranges::any_of(sequence->host(), is_gone))
      requeue(*sequence, RequeueReason::kLoadFailed);
  }
}

bool Scheduler::retire(Sequence& sequence) {
  if (sequence.n_outputs() > 0) output_estimates_[tenant_of(sequence)].add(sequence.n_outputs());
  if (sequence.is_waiting()) {
    waiting_.leave(sequence);
    sequence.release();
    return true;
  }
  sequence.retire();
  recall_followers(sequence);
  return release_if_done(sequence);
}

// Releases a retiring sequence if no step in flight names it any more.
bool Scheduler::release_if_done(Sequence& sequence) {
  if (sequence.state() != SeqState::kRetiring || sequence.n_inflight() > 0) return false;
  give_up_slot(sequence);
  sequence.release();
  return true;
}

void Scheduler::requeue(Sequence& sequence, RequeueReason reason) {
  n_preemptions_ += reason == RequeueReason::kPreempted;
  give_up_slot(sequence);
  sequence.requeue(reason, limits().block_size);
  recall_followers(sequence);
  insert(sequence);
}

void Scheduler::cut(Sequence& sequence) {
  give_up_slot(sequence);
  sequence.cut(context_cut(sequence.n_known(), sequence.n_prompt_known(), config_.n_keep),
               limits().block_size);
  recall_followers(sequence);
  insert(sequence);
}

void Scheduler::give_up_slot(Sequence& sequence) {
  free_slots_.push_back(sequence.slot());
  running_.erase(std::find(running_.begin(), running_.end(), &sequence));
}

}  // namespace lockstep
