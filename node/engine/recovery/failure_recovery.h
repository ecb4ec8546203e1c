// FailureRecovery: decides what happens after a failed step or row. A failed step is undone, and
// its sequences run again, after a pause or in groups, until the steps succeed or the sequences to
// blame are found (node/engine/recovery/bisection.h); the requests of those fail. Owns the
// bisection, the pause and the counters of failures. Engine thread only.
//
//   recovery.step_failed(result, sequences);  // undoes the step; may fail requests
//   recovery.step_succeeded();                // after every other step
//
// While is_recovering(), every step is a trial: a step of trial() alone, with no other in flight.
// The caller reports it with trial_started(), or calls skip_trial() if none of trial() can run.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/clock.h"
#include "node/engine/recovery/bisection.h"
#include "node/engine/recovery/decode_failures.h"
#include "node/step/executor.h"

namespace lockstep {

struct LiveRequest;

class FailureRecovery {
 public:
  // Undoes the step that failed and all later ones, so that none is in flight, and takes the host
  // blocks that any of them names as bad out of use.
  using UndoSteps = std::function<void()>;
  // Ends a request with kDecodeFailed and this message; calls forget() for its sequences.
  using FailRequest = std::function<void(LiveRequest&, std::string message)>;

  // The clock must outlive this object. step_failed() calls both functions, row_failed() and
  // resume_failed() the second.
  FailureRecovery(const Clock& clock, UndoSteps undo_steps, FailRequest fail_request);

  // A step of these sequences failed; `result` may be overwritten while the steps are undone.
  void step_failed(const StepResult& result, std::vector<Sequence*> sequences);
  // The logits of the sequence's next token held a NaN or an Inf: its request fails.
  void row_failed(const Sequence& sequence);
  // The sequence's next token is one that its client already has, `emitted`, but another one was
  // sampled: its request fails.
  void resume_failed(const Sequence& sequence, int32_t emitted, int32_t sampled);
  void step_succeeded();
  // The sequence has ended, for any reason.
  void forget(const Sequence& sequence);

  bool is_recovering() const { return bisection_.is_active(); }
  // The sequences to run next, alone in a step. Not to be called while a trial runs.
  std::span<Sequence* const> trial() const { return bisection_.trial(); }
  // None of trial() can run: the next group is tried instead.
  void skip_trial() { bisection_.skip(); }
  // The trial was submitted with these of its sequences.
  void trial_started(std::span<Sequence* const> sequences) { bisection_.started(sequences); }
  // The time until the next step may be submitted; zero unless failures named no row.
  Clock::TimePoint::duration pause_left() const;

  const DecodeFailures& failures() const { return failures_; }

 private:
  void begin(StepStatus status, std::vector<Sequence*> suspects);
  void blame(StepStatus status, const std::string& message);
  void pause();

  const Clock& clock_;
  const UndoSteps undo_steps_;
  const FailRequest fail_request_;
  Bisection bisection_;
  std::optional<Clock::TimePoint> paused_until_;  // set after failures that name no row
  DecodeFailures failures_;
};

}  // namespace lockstep
