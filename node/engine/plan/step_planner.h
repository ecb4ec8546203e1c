// StepPlanner: plans one step. Reads a Scheduler, writes a Schedule, changes nothing else. Used on
// the engine thread, within Scheduler::plan(). It plans in this order:
//
//   1. Decodes. Every decoding sequence gets one row, by priority and arrival. If a sequence needs
//      a block and none is free or cached, the planner preempts a later preemptible sequence whose
//      blocks the tenant may use: the one with the lowest priority, then with the fewest tokens to
//      recompute, then the newest. If there is none, the sequence preempts itself. So the sequence
//      that is first in order always makes progress, if need be by being requeued and admitted
//      again with the prefix that the cache has of it.
//
//   2. Prefill, of running and of waiting sequences, in the rows that the token budget leaves and
//      in the time that --itl-target-ms leaves: by priority, then deficit round robin over tenants
//      (FairShare), then alternately the tenant's first prompt and its shortest one.
//
//   3. Admission is part of 2: a waiting sequence is admitted when it gets its first rows.
//        - It may overtake the tenant's first waiting sequence only if that one could be admitted
//          beside it: the planner leaves a slot and enough blocks for the overtaken sequence.
//        - If the pool has no room for a sequence, no later one is admitted, unless only the
//          ceiling of the sequence's own tenant is in its way.
//        - It is deferred if another sequence is computing a prefix that both share.
//        - A step that preempts admits no sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "node/engine/plan/schedule.h"

namespace lockstep {

class Scheduler;

// The most sequences that one plan defers; each costs a lookup as long as its prompt.
inline constexpr size_t kMaxDeferralsPerStep = 64;
// The least number of prefill rows in a step, even if they delay the decodes beyond the target.
inline constexpr int32_t kMinPrefillRows = 16;
// The measured cost of loading host blocks is used only after so many admissions that load: on a
// busy machine a few steps say little.
inline constexpr uint64_t kLoadsToLearn = 8;
// If loading host blocks looks slower than computing them, one of so many admissions loads them
// anyway, to notice when that changes.
inline constexpr uint64_t kLoadProbeInterval = 16;

class StepPlanner {
 public:
  StepPlanner(const Scheduler& scheduler, Schedule& out);

  void plan();
  // Plans a step of these sequences alone.
  void plan_only(std::span<Sequence* const> sequences);

 private:
  enum class Turn { kServed, kPassedOver, kStepIsFull };

  void begin();
  void plan_decodes();
  bool find_block(size_t place);
  Sequence* victim_after(size_t place, const TenantLedger& ledger) const;
  bool preempt(Sequence& victim);
  bool is_preempted(const Sequence& sequence) const;
  void give_back(const Sequence& victim, size_t group);

  void plan_prompts();
  bool serve(size_t tenant, int32_t priority);
  Sequence* first_in_queue(size_t tenant);
  Sequence* first_waiting(TenantQueue& queue, size_t tenant) const;
  Sequence* shortest(TenantQueue& queue, size_t tenant, Sequence& first);
  Sequence* overtaker(TenantQueue& queue, size_t tenant, const Sequence& first) const;
  bool is_open(const TenantQueue& queue) const;
  Turn open_chunk(TenantQueue& queue, Sequence& sequence);
  int32_t n_loads_of(const Sequence& sequence) const;
  int32_t extend_chunk(PlannedPrompt& prompt, int64_t allowance);

  void match(const Sequence& sequence);
  bool admit(TenantQueue& queue, Sequence& sequence, ScheduledChunk& chunk);
  void drop_partial();
  bool is_loading_cheaper() const;
  bool defer(Sequence& sequence);
  int32_t n_blocks_worth_waiting_for(const Sequence& other, int32_t n_computed,
                                     const Sequence& sequence) const;
  bool reserve(int32_t tenant, int32_t n_blocks, int32_t n_kept);
  bool try_reserve(int32_t tenant, int32_t n_blocks, int32_t n_kept);
  bool is_refused();
  bool is_at_ceiling(int32_t tenant, int32_t n_blocks) const;
  int32_t n_matched() const;

  int32_t n_rows_left(int32_t first_position) const;
  bool write_token_ids(ScheduledChunk& chunk);

  const Scheduler& scheduler_;
  Schedule& out_;
  bool admits_ = true;              // whether the plan may still admit sequences
  bool loading_is_slower_ = false;  // for the sequence that Schedule::match is about
  int32_t n_running_ = 0;
  int32_t n_decodes_ = 0;
  int32_t n_growing_ = 0;  // decodes that may outgrow their reservation
};

}  // namespace lockstep
