// StepPlanner: decides what the next step does. Reads a scheduler, writes a Schedule, changes
// nothing. In this order:
//   1. one token for every decoding sequence, by priority and arrival. Who needs a block that is
//      not there makes another one give up its blocks: of those that come later, and hold what its
//      tenant may have, the one of the lowest priority, then with the fewest tokens to forward
//      again, then the newest; if there is none, it goes itself. So the first in line always gets
//      on, if need be by starting over from what the cache has of it.
//   2. prompts, running ones and new ones, with what is left of the token budget, and of the time
//      that the decodes can wait: by priority, then deficit round robin over tenants, then turn and
//      turn about the tenant's first in line and its shortest, which most often are one. Nobody
//      takes a place or blocks that whoever it overtakes would need. So nobody overtakes a sequence
//      that the pool has no room for, unless its own tenant's ceiling is in its way. Whose prefix
//      somebody is computing is deferred. A step that sends somebody back admits nobody.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "node/engine/plan/schedule.h"

namespace lockstep {

class Scheduler;

// Sequences that a plan defers at most: looking one up costs its length.
inline constexpr size_t kMaxDeferralsPerStep = 64;
// Rows of prompts that a step has at least, whatever they cost the decodes beside them.
inline constexpr int32_t kMinPrefillRows = 16;
// So many admissions load blocks before what that costs is believed: on a busy machine a few steps
// say little.
inline constexpr uint64_t kLoadsToLearn = 8;
// Of so many admissions to whom loading blocks looks dearer than computing them, one loads them.
inline constexpr uint64_t kLoadProbeInterval = 16;

class StepPlanner {
 public:
  StepPlanner(const Scheduler& scheduler, Schedule& out);

  void plan();
  // Of these sequences alone.
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
  Sequence* first_in_line(size_t tenant);
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
  bool admits_ = true;              // nobody has been turned away
  bool loading_is_slower_ = false;  // of the sequence in Schedule::match
  int32_t n_running_ = 0;
  int32_t n_decodes_ = 0;
  int32_t n_growing_ = 0;  // decodes that may outgrow their reservation
};

}  // namespace lockstep
