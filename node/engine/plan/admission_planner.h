// AdmissionPlanner: decides, for one plan, whether a waiting sequence is admitted, is deferred, or
// is left in its queue. Owns the plan's cursors in the waiting queues (WaitingCursor); otherwise
// reads a Scheduler and writes a Schedule. Used by StepPlanner, on the engine thread.
//
//   admission.open(n_growing);                              // else nothing is admitted
//   Sequence* sequence = admission.first(tenant);           // or admission.overtaker(...)
//   chunk.first_position = admission.match(*sequence);      // share, load or compute
//   if (admission.admit(*sequence, chunk)) ...              // else: deferred, or left
//
//   - A sequence may overtake the tenant's first waiting one only if that one could be admitted
//     beside it: a slot and enough blocks are left for the overtaken sequence.
//   - If the pool has no room for a sequence, no later one is admitted, unless only the ceiling of
//     the sequence's own tenant (TenantConfig) is in its way.
//   - A sequence is deferred if another sequence is computing a prefix that both share, and is soon
//     done with it.
//   - A step that preempts admits no sequence.
#pragma once

#include <cstddef>
#include <cstdint>

#include "node/engine/plan/schedule.h"

namespace lockstep {

class Scheduler;

// The most sequences that one plan defers; each costs a lookup as long as its prompt.
inline constexpr size_t kMaxDeferralsPerStep = 64;
// The measured cost of loading host blocks is used only after so many admissions that load: on a
// busy machine a few steps say little.
inline constexpr uint64_t kMinMeasuredLoads = 8;
// If loading host blocks looks slower than computing them, one of so many admissions loads them
// anyway, to notice when that changes.
inline constexpr uint64_t kLoadProbeInterval = 16;

class AdmissionPlanner {
 public:
  AdmissionPlanner(const Scheduler& scheduler, Schedule& out);

  // Empties the plan's admissions and deferrals. Nothing is admitted until open().
  void begin();
  // The plan may admit sequences: it preempts none. n_growing: its decodes that may outgrow their
  // reservation; a block is left for each.
  void open(int32_t n_growing);

  // The tenant's first waiting sequence that admit() has not looked at; null if there is none or
  // the plan admits no more.
  Sequence* first(size_t tenant);
  // The tenant's shortest such sequence if it may be admitted before `head`, which is first(tenant)
  // and for which a slot must be left; else null.
  Sequence* overtaker(size_t tenant, const Sequence& head);

  // Fills Schedule::match with the cached blocks that the sequence would share, load or copy from.
  // Returns how many tokens they hold; at least one of the sequence is left to forward.
  int32_t match(const Sequence& sequence);
  // Admits the sequence that match() was called for last, and writes what it gets into the chunk.
  // Returns false if the sequence is deferred or keeps waiting.
  bool admit(Sequence& sequence, ScheduledChunk& chunk);

 private:
  bool is_open(const WaitingCursor& cursor) const;

  int32_t n_matched() const;
  void drop_partial();
  bool is_loading_cheaper() const;

  bool defer(Sequence& sequence);
  int32_t n_blocks_worth_waiting_for(const Sequence& other, int32_t n_computed,
                                     const Sequence& sequence) const;

  bool reserve(int32_t tenant, int32_t n_blocks, int32_t n_kept);
  bool try_reserve(int32_t tenant, int32_t n_blocks, int32_t n_kept);

  const Scheduler& scheduler_;
  Schedule& out_;
  bool admits_ = false;             // whether the plan may still admit sequences
  bool loading_is_slower_ = false;  // for the sequence that Schedule::match is about
  int32_t n_running_ = 0;           // those that run and those that the plan admits
  int32_t n_growing_ = 0;           // decodes that may outgrow their reservation
};

}  // namespace lockstep
