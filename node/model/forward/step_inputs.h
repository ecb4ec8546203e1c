// StepInputs: the arrays of a StepPlan as Views of device memory. The plan is one flat buffer and
// is copied to the device in one piece, so an array lies there at its offset in the plan.
#pragma once

#include "kernels/ops.h"
#include "node/step/step_plan.h"

namespace lockstep {

struct StepInputs {
  StepInputs() = default;
  // on_device: the plan's bytes in device memory; they must outlive the step.
  StepInputs(const StepPlanView& plan, std::byte* on_device);

  uint64_t step = 0;
  int64_t n_tokens = 0;
  int64_t n_samples = 0;
  int64_t n_copies = 0;
  int64_t n_cached = 0;
  SampleNeeds needs;  // of the sampling rows

  // See StepPlanView.
  View tokens, positions, seq_of_token, seq_slots, slot_mapping, block_tables;
  View copies_from, copies_to;
  View cached_ids, cached_seq_slots, cached_positions;
  View sample_rows, sample_seq_slots, sample_positions, banned;
  const SamplingRow* sampling = nullptr;
};

}  // namespace lockstep
