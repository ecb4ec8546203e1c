#include "node/engine/core/live_requests.h"

#include <algorithm>

#include "common/check.h"
#include "common/log.h"

namespace lockstep {

LiveRequests::LiveRequests(Scheduler& scheduler, FailureRecovery& recovery, EventBuffer& events,
                           const Clock& clock)
    : scheduler_(scheduler), recovery_(recovery), events_(events), clock_(clock) {}

void LiveRequests::add(std::unique_ptr<LiveRequest> request) {
  const RequestId id = request->request.id;
  LiveRequest& added = *request;
  if (added.request.deadline) deadlines_.emplace(*added.request.deadline, id);
  const bool is_new = live_.emplace(id, std::move(request)).second;
  CHECK(is_new);
  if (added.n_choices_open == 0) end_request(added, added.first_reason, ErrorCode::kInternal);
}

void LiveRequests::end_choice(Choice& choice, FinishReason reason) {
  LiveRequest& request = choice.sequence.owner();
  retire(choice, reason);
  if (request.n_choices_open == 0) {
    end_request(request, request.first_reason, ErrorCode::kInternal);
  }
}

void LiveRequests::fail(LiveRequest& request, ErrorCode error, std::string message) {
  request.message = std::move(message);
  end_open_choices(request, FinishReason::kError);
  end_request(request, FinishReason::kError, error);
}

bool LiveRequests::cancel(RequestId id) {
  const auto found = live_.find(id);
  if (found == live_.end()) return false;
  LiveRequest& request = *found->second;
  end_open_choices(request, FinishReason::kCancelled);
  end_request(request, FinishReason::kCancelled, ErrorCode::kCancelled);
  return true;
}

void LiveRequests::end_overdue() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= clock_.now()) {
    LiveRequest& request = *live_.at(deadlines_.begin()->second);
    fail(request, ErrorCode::kDeadlineExceeded,
         str("the request's deadline passed with ", request.usage.completion_tokens,
             " tokens of output"));
  }
}

void LiveRequests::drop_ended() {
  std::erase_if(ended_, [](const auto& request) { return request->n_choices_held == 0; });
}

void LiveRequests::retire(Choice& choice, FinishReason reason) {
  LiveRequest& request = choice.sequence.owner();
  if (choice.sequence.choice() == 0) request.first_reason = reason;
  --request.n_choices_open;
  recovery_.forget(choice.sequence);
  if (scheduler_.retire(choice.sequence)) --request.n_choices_held;
}

void LiveRequests::end_open_choices(LiveRequest& request, FinishReason reason) {
  for (Choice& choice : request.choices) {
    const Sequence& sequence = choice.sequence;
    if (!sequence.is_open()) continue;
    const size_t n_sent =
        std::max(emitted_ids(sequence).size(), static_cast<size_t>(sequence.n_outputs()));
    events_.begin_choice(request.request.id, sequence.choice(), static_cast<uint32_t>(n_sent));
    events_.end_choice(reason);
    retire(choice, reason);
  }
}

// Adds the request's final message to the events and moves the request from live_ to ended_.
void LiveRequests::end_request(LiveRequest& request, FinishReason reason, ErrorCode error) {
  ++n_ended_[static_cast<size_t>(reason)];
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
