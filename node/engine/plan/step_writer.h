// StepWriter: writes a committed Schedule as the StepPlan that the ranks run. Engine thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "node/engine/plan/scheduler.h"
#include "node/step/step_plan.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

class StepWriter {
 public:
  // The tokenizer must outlive the writer.
  StepWriter(const StepLimits& limits, const Tokenizer& tokenizer);

  // The schedule must be committed, so that its blocks are in the block tables. The result is valid
  // until the next call.
  std::span<const std::byte> write(const Schedule& schedule);

 private:
  void add_chunk(const ScheduledChunk& chunk);
  void add_loads(const Sequence& sequence);
  void add_sample(const ScheduledChunk& chunk);

  const Tokenizer& tokenizer_;
  StepPlanBuilder builder_;
  std::vector<int32_t> banned_;  // of the row being written
};

}  // namespace lockstep
