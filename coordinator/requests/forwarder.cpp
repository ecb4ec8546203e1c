#include "coordinator/requests/forwarder.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/sampling_ranges.h"
#include "coordinator/requests/choice_numbers.h"
#include "coordinator/requests/request_bytes.h"

namespace lockstep {
namespace {

// Moves what the client has of each choice out of the request.
std::vector<ChoiceProgress> choices_of(ClientRequest& request, size_t n_choices) {
  std::vector<ChoiceProgress> choices(n_choices);
  auto* generate = std::get_if<wire::Generate>(&request);
  if (generate == nullptr) return choices;
  const std::vector<wire::EmittedChoice> emitted = std::exchange(generate->emitted, {});
  for (size_t i = 0; i < std::min(emitted.size(), n_choices); ++i)
    choices[i].n_skipped = emitted[i].count.value_or(0);
  generate->attempt = 0;
  return choices;
}

}  // namespace

Forwarder::Forwarder(const NodeTable& nodes, Router router, NodeLinks& links, const Clock& clock,
                     CoordinatorProbes& probes, ForwarderConfig config, PromptEncoder* encoder)
    : nodes_(nodes),
      links_(links),
      clock_(clock),
      probes_(probes),
      config_(std::move(config)),
      lifecycle_(nodes, std::move(router), links, clock, probes, config_, encoder),
      seeds_(config_.seed) {}

void Forwarder::submit(const Client& client, wire::Generate request) {
  submit(client, std::move(request), "");
}

void Forwarder::submit(const Client& client, wire::Generate request,
                       const std::string& required_fingerprint) {
  // Checked before memory for n choices is allocated.
  if (const Status n = check_range("n", request.n, kChoicesRange); !n)
    return refuse(client, request.request_id, n.error());
  const auto n_choices = static_cast<size_t>(request.n);
  dispatch(client, std::move(request), n_choices, required_fingerprint);
}

void Forwarder::submit(const Client& client, std::vector<wire::Generate> prompts,
                       const std::string& required_fingerprint) {
  const std::optional<uint64_t> wanted = prompts.front().seed;
  number_choices(prompts, wanted ? *wanted : seeds_.next());
  for (wire::Generate& prompt : prompts) submit(client, std::move(prompt), required_fingerprint);
}

void Forwarder::submit(const Client& client, wire::Tokenize request) {
  dispatch(client, std::move(request), 0);
}

void Forwarder::submit(const Client& client, wire::Detokenize request) {
  dispatch(client, std::move(request), 0);
}

// The same request under a live id is a client that resends; a different request under a live id is
// an error.
bool Forwarder::answer_if_resent(const Client& client, ClientRequest& request) {
  const Inflight* live = lifecycle_.table().find(client.key, id_of(request));
  if (live == nullptr) return false;
  if (!is_same_request(std::move(request), *live))
    refuse(client, live->request_id,
           {ErrorCode::kConflict, "another request with this request_id is running", "request_id"});
  return true;
}

bool Forwarder::refuse_if_needed(const Client& client, const ClientRequest& request,
                                 size_t n_choices, const std::string& required_fingerprint) {
  const std::string& model = model_of(request);
  const auto refused = [&](ErrorCode code, std::string message, std::string param) {
    refuse(client, id_of(request), {code, std::move(message), std::move(param)});
    return true;
  };
  if (draining_) return refused(ErrorCode::kNoNodeReady, "the coordinator is shutting down", "");
  if (n_inflight() >= config_.max_inflight)
    return refused(ErrorCode::kOverloaded, str(n_inflight(), " requests are already running"), "");
  const bool names_model = !model.empty() || n_choices > 0;
  if (nodes_.default_model() == nullptr)
    return refused(ErrorCode::kNoNodeReady, "no node is ready", "");
  if (names_model && !nodes_.knows_model(model))
    return refused(ErrorCode::kModelNotFound, "the model '" + model + "' does not exist", "model");
  if (!required_fingerprint.empty() && !is_served(nodes_.groups(), model, required_fingerprint)) {
    probes_.resume_token_refused("fingerprint");
    return refused(ErrorCode::kConflict,
                   str("no node serves '", model, "' with the fingerprint ", required_fingerprint,
                       ", with which this request began"),
                   "resume_token");
  }
  return false;
}

void Forwarder::dispatch(const Client& client, ClientRequest request, size_t n_choices,
                         const std::string& required_fingerprint) {
  if (answer_if_resent(client, request) ||
      refuse_if_needed(client, request, n_choices, required_fingerprint))
    return;
  // A tokenize or detokenize may leave the model out; then the first model that is served is meant.
  set_model_if_empty(request, *nodes_.default_model());
  if (auto* generate = std::get_if<wire::Generate>(&request); generate && !generate->seed)
    generate->seed = seeds_.next();
  Result<ByteHold> bytes = hold_request_bytes(request, config_.bytes);
  if (!bytes) return refuse(client, id_of(request), bytes.error());
  auto entry = std::make_unique<Inflight>();
  entry->client = client;
  entry->request_id = id_of(request);
  entry->fingerprint = required_fingerprint.empty()
                           ? find_group(nodes_.groups(), model_of(request))->serving().fingerprint
                           : required_fingerprint;
  entry->n_tokens_at_least = tokens_at_least(request);
  entry->choices = choices_of(request, n_choices);
  entry->started = clock_.now();
  entry->deadline = entry->started + config_.request_timeout;
  entry->request = std::move(request);
  entry->bytes = std::move(*bytes);
  const std::string request_id = entry->request_id;
  if (!lifecycle_.begin(std::move(entry)))
    refuse(client, request_id, {ErrorCode::kNoNodeReady, "no node takes requests now", ""});
}

void Forwarder::refuse(const Client& client, const std::string& request_id, Error error) {
  probes_.request_refused(to_string(error.code));
  client.replies->deliver(
      wire::ErrorReply{request_id, error.code, std::move(error.message), std::move(error.param)});
}

void Forwarder::cancel(const std::string& client_key, const std::string& request_id) {
  Inflight* request = lifecycle_.table().find(client_key, request_id);
  if (request != nullptr) lifecycle_.cancel(*request);
}

void Forwarder::drop_client(const std::string& client_key) {
  for (Inflight* request : lifecycle_.table().of_client(client_key)) lifecycle_.drop(*request);
}

void Forwarder::end_everything() {
  for (Inflight* request : lifecycle_.table().all()) {
    if (request->node) links_.send(*request->node, wire::Cancel{request->upstream_id});
    lifecycle_.end_with_error(*request,
                              {ErrorCode::kNoNodeReady, "the server is shutting down", ""});
  }
}

void Forwarder::on_node_message(NodeId node, wire::Message message) {
  if (auto* batch = std::get_if<wire::TokensBatch>(&message)) {
    for (wire::Tokens& tokens : batch->items) on_tokens(node, std::move(tokens));
    return;
  }
  if (auto* tokens = std::get_if<wire::Tokens>(&message))
    return on_tokens(node, std::move(*tokens));
  const auto find = [&](const std::string& id) -> Inflight* {
    Inflight* request = lifecycle_.table().find(id);
    return request != nullptr && request->node == node ? request : nullptr;
  };
  if (auto* accepted = std::get_if<wire::Accepted>(&message)) {
    if (Inflight* request = find(accepted->request_id)) on_accepted(*request, std::move(*accepted));
  } else if (auto* done = std::get_if<wire::Done>(&message)) {
    if (Inflight* request = find(done->request_id)) on_done(*request, std::move(*done));
  } else if (auto* error = std::get_if<wire::ErrorReply>(&message)) {
    if (Inflight* request = find(error->request_id))
      lifecycle_.on_error(*request, {error->code, error->message, error->param});
    else if (error->request_id.empty())
      log(LogLevel::kWarning, str("node ", nodes_.node(node).endpoint, ": ", error->message));
  } else if (auto* tokenized = std::get_if<wire::Tokenized>(&message)) {
    if (Inflight* request = find(tokenized->request_id)) on_reply(*request, std::move(message));
  } else if (auto* detokenized = std::get_if<wire::Detokenized>(&message)) {
    if (Inflight* request = find(detokenized->request_id)) on_reply(*request, std::move(message));
  }
}

void Forwarder::on_unreadable(NodeId node, const std::string& upstream_id, const Error& error) {
  Inflight* request = lifecycle_.table().find(upstream_id);
  if (request == nullptr || request->node != node) return;
  links_.send(node, wire::Cancel{upstream_id});
  lifecycle_.end_with_error(
      *request, {ErrorCode::kInternal, "the node's answer cannot be read: " + error.message, ""});
}

void Forwarder::on_accepted(Inflight& request, wire::Accepted message) {
  if (!request.is_generate() || request.state == RequestState::kRunning) return;
  request.n_prompt_tokens = message.prompt_tokens;
  // The next node may have room for another number of outputs.
  auto& generate = std::get<wire::Generate>(request.request);
  if (!generate.max_tokens && message.max_tokens > 0)
    generate.max_tokens = static_cast<int64_t>(message.max_tokens);
  lifecycle_.accept(request);
  if (request.announced) return;
  request.announced = true;
  message.request_id = request.request_id;
  message.fingerprint = request.fingerprint;
  message.route_receipt = std::move(request.route_receipt);
  request.client.replies->deliver(std::move(message));
}

// The request has left this node, or has ended. The cancel makes the node stop computing it.
void Forwarder::drop_stale(NodeId node, const wire::Tokens& message) {
  probes_.stale_tokens_dropped();
  const Waste cause = lifecycle_.given_up().cause_of(message.request_id);
  probes_.wasted_tokens(to_string(cause), message.ids.size());
  links_.send(node, wire::Cancel{message.request_id});
}

void Forwarder::on_tokens(NodeId node, wire::Tokens message) {
  Inflight* request = lifecycle_.table().find(message.request_id);
  if (request == nullptr || request->node != node) return drop_stale(node, message);
  switch (token_order(*request, message)) {
    case TokenOrder::kStale:
      probes_.wasted_tokens(to_string(Waste::kDuplicate), message.ids.size());
      return probes_.stale_tokens_dropped();
    case TokenOrder::kBroken:
      return lifecycle_.lose(*request, LossCause::kGap);
    case TokenOrder::kNext:
      break;
  }
  if (request->state != RequestState::kRunning) lifecycle_.accept(*request);
  // The node ended the choice without being asked to, because it shuts down; its error follows.
  if (message.finish_reason == kCancelledReason && !request->cancelled) {
    message.finish_reason.reset();
    if (message.ids.empty() && message.text.empty()) return;
  }
  record_tokens(*request, message);
  const ChoiceProgress& choice = request->choices[message.choice];
  if (message.finish_reason && choice.ids.size() < choice.n_skipped)
    return end_beyond(*request, message.choice);
  if (choice.ids.size() <= choice.n_skipped) {  // the client has these outputs
    if (!message.finish_reason) return;
    message.first_index += static_cast<uint32_t>(message.ids.size());
    message.ids.clear();
    message.text.clear();
    message.logprobs.clear();
  }
  lifecycle_.count_output(*request);
  message.request_id = request->request_id;
  request->client.replies->deliver(std::move(message));
}

// The client cannot have the outputs that it says it has.
void Forwarder::end_beyond(Inflight& request, uint32_t choice) {
  const ChoiceProgress& progress = request.choices[choice];
  const std::string problem = str("index says ", progress.n_skipped, " outputs of choice ", choice,
                                  ", which ended after ", progress.ids.size());
  links_.send(*request.node, wire::Cancel{request.upstream_id});
  lifecycle_.end_with_error(request, {ErrorCode::kInvalidRequest, problem, "index"});
}

void Forwarder::record_tokens(Inflight& request, const wire::Tokens& message) {
  ChoiceProgress& choice = request.choices[message.choice];
  choice.ids.insert(choice.ids.end(), message.ids.begin(), message.ids.end());
  choice.finish_reason = message.finish_reason;
  if (message.ids.empty()) return;
  if (choice.ids.size() <= choice.n_skipped)
    return probes_.wasted_tokens(to_string(Waste::kAttach), message.ids.size());
  const auto now = clock_.now();
  if (choice.last_token)
    probes_.more_tokens(message.ids.size(), now - *choice.last_token);
  else
    probes_.first_token(now - request.started);
  probes_.tokens_sent(message.ids.size());
  choice.last_token = now;
}

void Forwarder::on_done(Inflight& request, wire::Done message) {
  if (!request.is_generate()) return;
  if (message.reason == kCancelledReason && !request.cancelled)
    return lifecycle_.lose(request, LossCause::kDrain);
  // The last tokens of a choice did not arrive.
  if (message.reason != kCancelledReason && request.n_outputs() < message.usage.completion_tokens)
    return lifecycle_.lose(request, LossCause::kGap);
  probes_.usage(message.usage.prompt_tokens, message.usage.cached_tokens);
  message.request_id = request.request_id;
  const std::string reason = message.reason;
  lifecycle_.finish(request, reason, std::move(message));
}

void Forwarder::on_reply(Inflight& request, wire::Message message) {
  if (auto* tokenized = std::get_if<wire::Tokenized>(&message))
    tokenized->request_id = request.request_id;
  if (auto* detokenized = std::get_if<wire::Detokenized>(&message))
    detokenized->request_id = request.request_id;
  lifecycle_.finish(request, "stop", std::move(message));
}

void Forwarder::on_heartbeat(NodeId node) {
  lifecycle_.on_heartbeat(node);
  const Node& entry = nodes_.node(node);
  if (!entry.load.draining && !entry.stalled) return;
  const LossCause cause = entry.load.draining ? LossCause::kDrain : LossCause::kStall;
  for (Inflight* request : lifecycle_.table().of_node(node)) lifecycle_.move(*request, cause);
}

void Forwarder::on_node_lost(NodeId node) {
  lifecycle_.on_node_lost(node);
  for (Inflight* request : lifecycle_.table().of_node(node))
    lifecycle_.lose(*request, LossCause::kLost);
}

void Forwarder::tick() {
  lifecycle_.retry();
  lifecycle_.expire();
}

}  // namespace lockstep
