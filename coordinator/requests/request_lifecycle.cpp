#include "coordinator/requests/request_lifecycle.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/log.h"
#include "common/resume_proof.h"
#include "coordinator/requests/refusal.h"

namespace lockstep {
namespace {

constexpr size_t kMaxLosses = 2;
constexpr size_t kOutputsOfProgress = 8;
constexpr std::chrono::milliseconds kRound{100};  // between two rounds of a request without a node

double in_seconds(std::chrono::milliseconds time) {
  return std::chrono::duration<double>(time).count();
}

// Outputs that the next node samples again although the client has them.
uint64_t n_replayed(const Inflight& request) {
  uint64_t n = 0;
  for (const ChoiceProgress& choice : request.choices) {
    if (!choice.finish_reason) n += std::min(choice.ids.size(), kResumeProof);
  }
  return n;
}

}  // namespace

RequestLifecycle::RequestLifecycle(const NodeTable& nodes, Router router, NodeLinks& links,
                                   const Clock& clock, CoordinatorProbes& probes,
                                   const ForwarderConfig& config, PromptEncoder* encoder)
    : nodes_(nodes),
      links_(links),
      clock_(clock),
      probes_(probes),
      config_(config),
      table_(nodes.nodes().size()),
      placement_(nodes, table_, std::move(router), probes),
      sender_(nodes, table_, placement_, links, clock),
      prompts_(nodes, table_, encoder, probes,
               [this](Inflight& request) { on_prepared(request); }) {}

bool RequestLifecycle::begin(std::unique_ptr<Inflight> request) {
  Inflight& added = table_.add(std::move(request));
  if (!prompts_.prepare(added)) {
    wait_for_prompt(added);
  } else if (sender_.send(added)) {
    added.state = RequestState::kPlaced;
  } else if (config_.queue_timeout.count() > 0) {
    wait_for_node(added);
  } else {
    table_.erase(added);
    return false;
  }
  probes_.request_started(to_string(added.state));
  return true;
}

bool RequestLifecycle::send(Inflight& request) {
  if (!sender_.send(request)) return false;
  if (request.state == RequestState::kQueued) transition(request, RequestState::kPlaced);
  if (request.begun) probes_.wasted_tokens(to_string(Waste::kReplay), n_replayed(request));
  return true;
}

// Only its deadline, a cancel or its prompt end the wait.
void RequestLifecycle::wait_for_prompt(Inflight& request) {
  request.node_deadline = Clock::TimePoint::max();
  request.next_try = Clock::TimePoint::max();
}

void RequestLifecycle::on_prepared(Inflight& request) {
  request.node_deadline.reset();
  if (send(request)) return;
  if (config_.queue_timeout.count() > 0) return wait_for_node(request);
  end_with_error(request, {ErrorCode::kNoNodeReady, "no node takes requests now", ""});
}

void RequestLifecycle::wait_for_node(Inflight& request) {
  const auto now = clock_.now();
  const auto timeout = request.accepted ? config_.resume_timeout : config_.queue_timeout;
  if (!request.node_deadline) request.node_deadline = now + timeout;
  request.next_try = now + kRound;
}

void RequestLifecycle::accept(Inflight& request) {
  request.accepted = true;
  request.node_deadline.reset();
  request.refusal.reset();
  transition(request, RequestState::kRunning);
}

void RequestLifecycle::count_output(Inflight& request) {
  request.begun = true;
  record_resume_end(request, "resumed");
}

void RequestLifecycle::on_error(Inflight& request, Error error) {
  const bool is_length = is_length_error(error.code);
  const bool is_state = is_node_state_error(error.code);
  if (request.state == RequestState::kRunning) {  // the node had accepted it
    if (error.code == ErrorCode::kNoNodeReady) return lose(request, LossCause::kDrain);
    if (request.begun || !(is_state || is_length)) return end_with_error(request, std::move(error));
    transition(request, RequestState::kResuming);
  }
  if (request.cancelled || !(is_state || is_length))
    return end_with_error(request, std::move(error));
  if (is_length) placement_.record_too_long(request, *request.node);
  keep_refusal(request.refusal, std::move(error));
  if (send(request)) return probes_.request_resent("refused");
  if (!request.accepted || is_length) return end_with_error(request, *request.refusal);
  give_up_attempt(request, Waste::kEnded);
  wait_for_node(request);
}

void RequestLifecycle::lose(Inflight& request, LossCause cause) {
  // The node may only have been slow, or may have restarted with the request in its queue.
  const TriedNode lost{*request.node, request.node_epoch};
  links_.send(lost.node, wire::Cancel{request.upstream_id});
  give_up_attempt(request, Waste::kZombie);
  if (request.cancelled) return end_with_error(request, {ErrorCode::kCancelled, "cancelled", ""});
  if (request.accepted && request.has_finished()) return finish_completed(request);
  if (is_poison(request, lost, cause)) {
    probes_.request_lost();
    return end_with_error(request, {ErrorCode::kDecodeFailed,
                                    str(kMaxLosses, " nodes that ran this request were lost"), ""});
  }
  record_loss(request, cause);
  if (request.state == RequestState::kRunning) transition(request, RequestState::kResuming);
  if (send(request)) {
    if (!request.begun) probes_.request_resent("lost");
    return;
  }
  if (request.state == RequestState::kPlaced) transition(request, RequestState::kQueued);
  wait_for_node(request);
  if (*request.node_deadline <= clock_.now()) end_without_node(request);
}

void RequestLifecycle::move(Inflight& request, LossCause cause) {
  if (request.cancelled || request.has_finished()) return;
  const TriedNode left{*request.node, request.node_epoch};
  const std::string old_id = request.upstream_id;
  std::vector<TriedNode> tried = std::exchange(request.tried, {left});
  if (!send(request)) {
    request.tried = std::move(tried);
    return;
  }
  given_up_.add(old_id, Waste::kZombie);
  links_.send(left.node, wire::Cancel{old_id});
  is_poison(request, left, cause);
  record_loss(request, cause);
  if (request.state == RequestState::kRunning) transition(request, RequestState::kResuming);
  if (!request.begun) probes_.request_resent("lost");
}

// Counts the loss, unless it cannot be because of the request.
bool RequestLifecycle::is_poison(Inflight& request, const TriedNode& lost, LossCause cause) {
  if (cause == LossCause::kDrain || cause == LossCause::kGap) return false;
  const size_t length = request.longest_choice();
  if (length - request.length_at_loss >= kOutputsOfProgress) request.suspected_losses.clear();
  request.length_at_loss = length;
  request.suspected_losses.push_back(lost);
  return request.suspected_losses.size() >= kMaxLosses;
}

void RequestLifecycle::on_node_present(NodeId node) {
  const TriedNode present{node, nodes_.node(node).welcome->epoch};
  for (Inflight* request : table_.all()) std::erase(request->suspected_losses, present);
}

void RequestLifecycle::record_loss(Inflight& request, LossCause cause) {
  if (!request.begun || request.loss) return;
  request.loss = cause;
  request.lost_at = clock_.now();
}

void RequestLifecycle::record_resume_end(Inflight& request, std::string_view outcome) {
  if (!request.loss) return;
  probes_.stream_resumed(to_string(*request.loss), outcome, clock_.now() - request.lost_at);
  request.loss.reset();
}

void RequestLifecycle::give_up_attempt(Inflight& request, Waste cause) {
  if (request.node) given_up_.add(request.upstream_id, cause);
  table_.end_attempt(request);
}

void RequestLifecycle::cancel(Inflight& request) {
  if (request.cancelled) return;  // a cancel was sent before
  request.cancelled = true;
  request.deadline = std::min(request.deadline, clock_.now() + config_.cancel_timeout);
  if (request.node) {
    links_.send(*request.node, wire::Cancel{request.upstream_id});
    return;
  }
  end_with_error(request, {ErrorCode::kCancelled, "cancelled", ""});
}

void RequestLifecycle::drop(Inflight& request) {
  if (request.node) links_.send(*request.node, wire::Cancel{request.upstream_id});
  give_up_attempt(request, Waste::kDisconnected);
  record_resume_end(request, "abandoned");
  probes_.request_finished("disconnected", to_string(request.state),
                           clock_.now() - request.started);
  table_.erase(request);
}

// All choices have ended and only the node's final message is missing.
void RequestLifecycle::finish_completed(Inflight& request) {
  wire::Done done;
  done.request_id = request.request_id;
  done.reason = *request.choices.front().finish_reason;
  done.usage.prompt_tokens = request.n_prompt_tokens;
  done.usage.completion_tokens = request.n_outputs();
  const std::string reason = done.reason;
  finish(request, reason, std::move(done));
}

void RequestLifecycle::end_with_error(Inflight& request, Error error) {
  const std::string outcome(to_string(error.code));
  finish(request, outcome,
         wire::ErrorReply{request.request_id, error.code, std::move(error.message),
                          std::move(error.param)});
}

void RequestLifecycle::finish(Inflight& request, std::string_view outcome,
                              wire::Message final_message) {
  const Client client = request.client;
  const bool is_error = std::holds_alternative<wire::ErrorReply>(final_message);
  record_resume_end(request, !is_error                     ? "resumed"
                             : outcome == kCancelledReason ? "abandoned"
                                                           : "failed");
  probes_.request_finished(outcome, to_string(request.state), clock_.now() - request.started);
  if (!is_error) placement_.on_outputs(request);
  give_up_attempt(request, Waste::kEnded);
  request.state = RequestState::kEnded;
  table_.erase(request);
  client.replies->deliver(std::move(final_message));
}

void RequestLifecycle::retry() {
  const auto now = clock_.now();
  for (Inflight* request : table_.without_node()) {
    if (request->next_try > now) continue;
    request->tried.clear();
    if (!send(*request))
      wait_for_node(*request);
    else if (!request->begun)
      probes_.request_resent("waited");
  }
}

void RequestLifecycle::end_without_node(Inflight& request) {
  probes_.request_lost();
  if (request.refusal) return end_with_error(request, *request.refusal);
  if (request.accepted)
    return end_with_error(
        request,
        {ErrorCode::kDecodeFailed,
         str("the node that ran this request was lost, and no other node with fingerprint ",
             request.fingerprint, " took it within ", in_seconds(config_.resume_timeout),
             " seconds"),
         ""});
  const bool was_lost = request.n_attempts > 0;
  end_with_error(request, {was_lost ? ErrorCode::kDecodeFailed : ErrorCode::kNoNodeReady,
                           was_lost ? "the node that ran this request was lost"
                                    : str("no node took the request within ",
                                          in_seconds(config_.queue_timeout), " seconds"),
                           ""});
}

void RequestLifecycle::expire() {
  const auto now = clock_.now();
  for (Inflight* request : table_.past_limit(now)) {
    if (!request->node && *request->node_deadline <= now) {
      end_without_node(*request);
    } else if (request->cancelled) {
      end_with_error(*request, {ErrorCode::kCancelled, "cancelled", ""});
    } else {
      if (request->node) links_.send(*request->node, wire::Cancel{request->upstream_id});
      end_with_error(
          *request,
          {ErrorCode::kDeadlineExceeded,
           str("not finished after ", in_seconds(config_.request_timeout), " seconds"), ""});
    }
  }
}

void RequestLifecycle::transition(Inflight& request, RequestState to) {
  CHECK(is_legal_transition(request.state, to));
  probes_.request_moved(to_string(request.state), to_string(to));
  request.state = to;
}

}  // namespace lockstep
