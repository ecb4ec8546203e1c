// The part of EngineCore that handles failed steps, and the ends of choices and of requests.
#include <algorithm>
#include <utility>

#include "common/log.h"
#include "node/engine/core/engine_core.h"

namespace lockstep {
namespace {

std::string step_message(const StepResult& result) {
  return str("step ", result.step, " failed: ", result.message);
}

}  // namespace

// Takes back a failed step and all later steps in flight: what they computed is computed again.
// Then their sequences run in groups until the bisection has found which one makes steps fail.
void EngineCore::take_back(const Schedule& failed) {
  const StepStatus status = result_.status;
  const std::string message = step_message(result_);
  log(LogLevel::kWarning, message);
  const std::vector<HostBlockId> bad = result_.bad_host_blocks;
  undo(failed);
  while (n_in_flight_ > 0) undo(wait_step());
  scheduler_.quarantine(bad);
  scheduler_.start_over_without_host_blocks();
  if (!bad.empty()) {  // the sequences that load them are not to blame
    if (bisection_.is_active()) bisection_.repeat();
    counters_.decode_failures.retried(cause_of(status));
    return;
  }
  if (!bisection_.is_active()) {
    std::vector<Sequence*> suspects = failed.sequences();
    std::erase_if(suspects, [](const Sequence* sequence) { return !sequence->is_running(); });
    bisection_.begin(status, std::move(suspects));
    counters_.decode_failures.retried(cause_of(status));
    pause();
    return;
  }
  const std::vector<Sequence*> all_blamed = bisection_.failed(status);
  pause();
  if (all_blamed.empty()) counters_.decode_failures.retried(cause_of(status));
  for (const Sequence* blamed : all_blamed) {
    if (!blamed->is_running()) continue;  // it ended together with another choice of its request
    counters_.decode_failures.failed(cause_of(status));
    fail(blamed->owner(), ErrorCode::kDecodeFailed, message);
  }
}

void EngineCore::pause() {
  paused_until_.reset();
  if (bisection_.pause().count() > 0) paused_until_ = clock_.now() + bisection_.pause();
}

void EngineCore::undo(const Schedule& schedule) {
  for (const ScheduledChunk& chunk : schedule.chunks) {
    if (scheduler_.undo(chunk)) --chunk.sequence->owner().n_choices_held;
  }
  scheduler_.undo_stores(schedule);
}

// Treats a result of another step, or with other rows, as a failure, so that its tokens do not
// reach a stream.
void EngineCore::check_result(const Schedule& schedule) {
  if (result_.status == StepStatus::kOk &&
      (result_.step != schedule.step || result_.n_samples != schedule.n_samples())) {
    result_.message = "the result is of step " + std::to_string(result_.step) + " with " +
                      std::to_string(result_.n_samples) + " samples, not with " +
                      std::to_string(schedule.n_samples());
    result_.status = StepStatus::kPlanMismatch;
  }
  result_.step = schedule.step;
}

// Fails the request of the first waiting sequence. Nothing runs, and yet this sequence gets no
// blocks: an account is wrong. Admission said that the request fits, so it would wait for ever.
void EngineCore::fail_head() {
  fail(scheduler_.waiting().first()->owner(), ErrorCode::kInternal,
       "the request fits the KV pool, but the empty pool has no room for it");
}

void EngineCore::end_choice(Choice& choice, FinishReason reason) {
  LiveRequest& request = choice.sequence.owner();
  if (choice.sequence.choice() == 0) request.first_reason = reason;
  --request.n_choices_open;
  if (bisection_.is_active()) bisection_.forget(choice.sequence);
  if (scheduler_.retire(choice.sequence)) --request.n_choices_held;
}

void EngineCore::end_open_choices(LiveRequest& request, FinishReason reason) {
  for (Choice& choice : request.choices) {
    const Sequence& sequence = choice.sequence;
    if (!sequence.is_open()) continue;
    events_.begin_choice(request.request.id, sequence.choice(),
                         static_cast<uint32_t>(sequence.n_outputs()));
    events_.end_choice(reason);
    end_choice(choice, reason);
  }
}

void EngineCore::fail(LiveRequest& request, ErrorCode error, std::string message) {
  request.message = std::move(message);
  end_open_choices(request, FinishReason::kError);
  end_request(request, FinishReason::kError, error);
}

// Adds the request's final message to the events and moves the request from live_ to ended_.
void EngineCore::end_request(LiveRequest& request, FinishReason reason, ErrorCode error) {
  switch (reason) {
    case FinishReason::kStop:
      ++counters_.n_stopped;
      break;
    case FinishReason::kLength:
      ++counters_.n_length;
      break;
    case FinishReason::kCancelled:
      ++counters_.n_cancelled;
      break;
    case FinishReason::kError:
      ++counters_.n_failed;
      break;
  }
  events_.add_end({.request = request.request.id,
                   .reason = reason,
                   .usage = request.usage,
                   .cache = request.cache,
                   .error = error,
                   .message = request.message});
  if (request.request.deadline) {
    deadlines_.erase({*request.request.deadline, request.request.id});
  }
  const auto place = live_.find(request.request.id);
  ended_.push_back(std::move(place->second));
  live_.erase(place);
}

}  // namespace lockstep
