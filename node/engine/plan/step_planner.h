// StepPlanner: plans one step. Reads a Scheduler, writes a Schedule, changes nothing else. Used on
// the engine thread, within Scheduler::plan(). It plans in this order:
//
//   1. Decodes. Every decoding sequence gets one row, in the order of service: the lower priority
//      number first, then the earlier arrival. If a sequence has used up its reservation, needs a
//      block, and none is free or cached, the planner preempts a sequence that is later in that
//      order, is preemptible, and holds blocks that the tenant may use: the one with the highest
//      priority number, then with the fewest tokens to recompute, then the newest. If there is
//      none, the sequence preempts itself; it is admitted again with the prefix that the cache has
//      of it. So the first sequence in order always makes progress. If the sequence to preempt is
//      part of a step in flight, nothing is planned until that step is done.
//
//   2. Prefill, of running and of waiting sequences, in the rows that the token budget leaves and
//      in the time that --itl-target-ms leaves: by priority, then deficit round robin over tenants
//      (FairShare), then alternately the tenant's first prompt and its shortest one.
//
//   3. Admission is part of 2: a waiting sequence is admitted when it gets its first rows, if
//      AdmissionPlanner admits it (node/engine/plan/admission_planner.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "node/engine/plan/admission_planner.h"
#include "node/engine/plan/schedule.h"

namespace lockstep {

class Scheduler;

// The least number of prefill rows in a step, even if they delay the decodes beyond the target.
inline constexpr int32_t kMinPrefillRows = 16;

class StepPlanner {
 public:
  StepPlanner(const Scheduler& scheduler, Schedule& out);

  void plan();
  // Plans a step of these sequences alone.
  void plan_only(std::span<Sequence* const> sequences);

 private:
  // What came of opening a chunk. kPassedOver: the step has no chunk of this sequence, but may have
  // chunks of others.
  enum class Opening { kOpened, kPassedOver, kStepIsFull };

  void begin();
  void plan_decodes();
  bool find_block(size_t place);
  Sequence* victim_after(size_t place) const;
  bool preempt(Sequence& victim);
  bool is_preempted(const Sequence& sequence) const;
  void return_blocks(const Sequence& victim);

  void plan_prompts();
  bool serve(size_t tenant, int32_t priority);
  Sequence* first_in_queue(size_t tenant);
  Sequence* shortest(size_t tenant, Sequence& first);
  Opening open_chunk(std::vector<PlannedPrompt>& prompts, Sequence& sequence);
  int32_t n_loads_of(const Sequence& sequence) const;
  int32_t extend_chunk(PlannedPrompt& prompt, int64_t allowance);

  int32_t n_rows_left(int32_t first_position) const;
  bool continue_running(ScheduledChunk& chunk);

  const Scheduler& scheduler_;
  Schedule& out_;
  AdmissionPlanner admission_;
  int32_t n_decodes_ = 0;
  int32_t n_growing_ = 0;  // decodes that may outgrow their reservation
};

}  // namespace lockstep
