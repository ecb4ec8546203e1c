#include "node/engine/recovery/failure_recovery.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {
namespace {

std::string step_message(const StepResult& result) {
  return str("step ", result.step, " failed: ", result.message);
}

std::string non_finite_message(const Sequence& sequence) {
  return "the logits for output token " + std::to_string(sequence.n_outputs()) + " of choice " +
         std::to_string(sequence.choice()) + " (position " +
         std::to_string(sequence.n_known() - 1) + ") held a NaN or an Inf";
}

}  // namespace

FailureRecovery::FailureRecovery(const Clock& clock, UndoSteps undo_steps, FailRequest fail_request)
    : clock_(clock), undo_steps_(std::move(undo_steps)), fail_request_(std::move(fail_request)) {}

// What the failed step and all later ones in flight computed is computed again. Then their
// sequences run in groups until the bisection has found which one makes steps fail.
void FailureRecovery::step_failed(const StepResult& result, std::vector<Sequence*> sequences) {
  const StepStatus status = result.status;
  const std::string message = step_message(result);
  log(LogLevel::kWarning, message);
  const bool has_bad_host_blocks = !result.bad_host_blocks.empty();
  undo_steps_();
  if (has_bad_host_blocks) {  // the sequences that load them are not to blame
    if (is_recovering()) bisection_.repeat();
    failures_.retried(cause_of(status));
  } else if (!is_recovering()) {
    begin(status, std::move(sequences));
  } else {
    blame(status, message);
  }
}

void FailureRecovery::begin(StepStatus status, std::vector<Sequence*> suspects) {
  std::erase_if(suspects, [](const Sequence* sequence) { return !sequence->is_running(); });
  bisection_.begin(status, std::move(suspects));
  failures_.retried(cause_of(status));
  pause();
}

// A trial failed: its sequences run again, or the requests of those to blame fail.
void FailureRecovery::blame(StepStatus status, const std::string& message) {
  const std::vector<Sequence*> all_blamed = bisection_.failed(status);
  pause();
  if (all_blamed.empty()) failures_.retried(cause_of(status));
  for (const Sequence* blamed : all_blamed) {
    if (!blamed->is_running()) continue;  // it ended together with another choice of its request
    failures_.failed(cause_of(status));
    fail_request_(blamed->owner(), message);
  }
}

void FailureRecovery::pause() {
  paused_until_.reset();
  if (bisection_.pause().count() > 0) paused_until_ = clock_.now() + bisection_.pause();
}

void FailureRecovery::row_failed(const Sequence& sequence) {
  failures_.failed(DecodeFailureCause::kNonfinite);
  fail_request_(sequence.owner(), non_finite_message(sequence));
}

void FailureRecovery::resume_failed(const Sequence& sequence, int32_t emitted, int32_t sampled) {
  const std::string message =
      str("resume mismatch: output token ", sequence.n_outputs(), " of choice ", sequence.choice(),
          " was emitted as ", emitted, " and is sampled here as ", sampled);
  log(LogLevel::kError, message);
  failures_.failed(DecodeFailureCause::kResumeMismatch);
  fail_request_(sequence.owner(), message);
}

void FailureRecovery::step_succeeded() {
  if (is_recovering()) bisection_.succeeded();
}

void FailureRecovery::forget(const Sequence& sequence) {
  if (is_recovering()) bisection_.forget(sequence);
}

Clock::TimePoint::duration FailureRecovery::pause_left() const {
  const auto zero = Clock::TimePoint::duration::zero();
  return paused_until_ ? std::max(*paused_until_ - clock_.now(), zero) : zero;
}

}  // namespace lockstep
