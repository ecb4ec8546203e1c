// ForwardFaults: the effects of fault points (common/fault_points.h) on one rank's forward pass.
// The Transformer calls these functions beside its calls of ops. In a build without fault points
// they are empty at compile time. The rank's own thread.
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
  // `is_last`: this is the last rank, the one on which interrupt(), spoil() and spoil_key() act.
  // `timeout`: how long the peers wait for a rank that makes no progress.
  ForwardFaults(const StepLimits& limits, bool is_last, std::chrono::milliseconds timeout)
      : limits_(limits), is_last_(is_last), timeout_(timeout) {}

  // Changes the positions by which the plan's rows are rotated, and up to which they attend to
  // keys.
  void change_positions(const StepPlanView& plan, View& rotated_by, View& seen_up_to) {
    if constexpr (kFaultPoints) {
      for (Fault mutant : {Fault::kMaskDropped, Fault::kPositionReset, Fault::kOldLengthKept,
                           Fault::kSquareMask}) {
        if (is_armed(mutant)) return mutate_positions(plan, rotated_by, seen_up_to);
      }
    }
  }
  // Called in the last layer. Throws or stalls if a fault is set for this step.
  void interrupt(uint64_t step) const {
    if constexpr (kFaultPoints) {
      if (is_last_) throw_or_stall(step);
    }
  }
  // Called in layer 0. Fills a row of the attention's output with NaN.
  void spoil(uint64_t step, const View& sample_rows, const View& attended) const {
    if constexpr (kFaultPoints) {
      if (is_last_ && fault(Fault::kRowIsNan, step)) fill_with_nan(sample_rows, attended);
    }
  }
  // Called in the last layer. Sets the first value of the rows of keys and values to NaN.
  void spoil_key(uint64_t step, const View& k_and_v) const {
    if constexpr (kFaultPoints) {
      if (is_last_ && fault(Fault::kKeyIsNan, step)) fill_first_with_nan(k_and_v);
    }
  }
  // Whether block heads are copied in this layer.
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
  std::vector<int32_t> rotated_by_, seen_up_to_;  // [n_tokens], of the current plan
  std::vector<int32_t> lengths_, left_over_;      // [max_seqs], by seq_slot
};

}  // namespace lockstep
