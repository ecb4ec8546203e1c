// ForwardFaults: what fault points (common/fault_points.h) do to one rank's forward pass. The
// Transformer asks at its calls of ops; in a build without fault points each answer is the
// harmless one, known when compiling. The rank's own thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "common/fault_points.h"
#include "kernels/view.h"
#include "node/step/step_plan.h"

namespace lockstep {

class ForwardFaults {
 public:
  // `is_last`: of the ranks; the one that fails.
  // `timeout`: of its peers, who wait for a rank that stands still.
  ForwardFaults(const StepLimits& limits, bool is_last, std::chrono::milliseconds timeout)
      : limits_(limits), is_last_(is_last), timeout_(timeout) {}

  // Changes by which positions the plan's rows are rotated and up to which ones they see keys.
  void change_positions(const StepPlanView& plan, View& rotated_by, View& seen_up_to) {
    if constexpr (kFaultPoints) {
      for (Fault mutant : {Fault::kMaskDropped, Fault::kPositionReset, Fault::kOldLengthKept,
                           Fault::kSquareMask}) {
        if (is_armed(mutant)) return mutate_positions(plan, rotated_by, seen_up_to);
      }
    }
  }
  // In the last layer: throws, or takes long, in the step of that number.
  void interrupt(uint64_t step) const {
    if constexpr (kFaultPoints) {
      if (is_last_) throw_or_stall(step);
    }
  }
  // Of the rows that attended, in layer 0.
  void spoil(uint64_t step, const View& sample_rows, const View& attended) const {
    if constexpr (kFaultPoints) {
      if (is_last_ && fault(Fault::kRowIsNan, step)) fill_with_nan(sample_rows, attended);
    }
  }
  // Of the rows of keys and values, in the last layer: the first one.
  void spoil_key(uint64_t step, const View& k_and_v) const {
    if constexpr (kFaultPoints) {
      if (is_last_ && fault(Fault::kKeyIsNan, step)) fill_first_with_nan(k_and_v);
    }
  }
  bool copies_layer(int layer) const {
    if constexpr (kFaultPoints) {
      if (fault(Fault::kSlowCopies)) dawdle();
    }
    return layer == 0 || !fault(Fault::kCopyLayerZero);
  }

 private:
  void mutate_positions(const StepPlanView& plan, View& rotated_by, View& seen_up_to);
  void see_old_rows(const StepPlanView& plan);
  void throw_or_stall(uint64_t step) const;
  static void fill_with_nan(const View& sample_rows, const View& attended);
  static void fill_first_with_nan(const View& k_and_v);
  static void dawdle();

  const StepLimits limits_;
  const bool is_last_;
  const std::chrono::milliseconds timeout_;
  std::vector<int32_t> rotated_by_, seen_up_to_;  // [n_tokens], of the plan under way
  std::vector<int32_t> lengths_, left_over_;      // [max_seqs], by token_ids slot
};

}  // namespace lockstep
