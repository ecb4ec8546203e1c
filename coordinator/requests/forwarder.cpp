#include "coordinator/requests/forwarder.h"

#include <algorithm>
#include <iomanip>
#include <utility>

#include "common/log.h"
#include "common/sampling_ranges.h"
#include "coordinator/requests/choice_numbers.h"
#include "coordinator/requests/refusal.h"
#include "coordinator/requests/request_bytes.h"

namespace lockstep {
namespace {

constexpr int kMaxNodesLost = 2;                      // while they had the same request
constexpr std::string_view kCancelled = "cancelled";  // a finish_reason

std::string random_prefix() {
  std::random_device device;
  std::ostringstream out;
  out << 'c' << std::hex << std::setfill('0') << std::setw(8) << device() << '-';
  return out.str();
}

}  // namespace

Forwarder::Forwarder(const NodeTable& nodes, Router router, NodeLinks& links, const Clock& clock,
                     CoordinatorProbes& probes, ForwarderConfig config)
    : nodes_(nodes),
      links_(links),
      clock_(clock),
      probes_(probes),
      config_(std::move(config)),
      id_prefix_(random_prefix()),
      table_(nodes.nodes().size()),
      placement_(nodes, table_, std::move(router)),
      seeds_(config_.seed) {}

void Forwarder::submit(const Client& client, wire::Generate request) {
  // Checked before memory for n choices is allocated.
  if (const Status n = check_range("n", request.n, kChoicesRange); !n)
    return refuse(client, request.request_id, n.error());
  const auto n_choices = static_cast<size_t>(request.n);
  dispatch(client, std::move(request), n_choices);
}

void Forwarder::submit(const Client& client, std::vector<wire::Generate> prompts) {
  const std::optional<uint64_t> wanted = prompts.front().seed;
  number_choices(prompts, wanted ? *wanted : seeds_.next());
  for (wire::Generate& prompt : prompts) submit(client, std::move(prompt));
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
  const Inflight* live = table_.find(client.key, id_of(request));
  if (live == nullptr) return false;
  if (!is_same_request(std::move(request), live->request))
    refuse(client, live->request_id,
           {ErrorCode::kConflict, "another request with this request_id is running", "request_id"});
  return true;
}

bool Forwarder::refuse_if_needed(const Client& client, const ClientRequest& request,
                                 size_t n_choices) {
  const std::string& model = model_of(request);
  const auto refused = [&](ErrorCode code, std::string message, std::string param) {
    refuse(client, id_of(request), {code, std::move(message), std::move(param)});
    return true;
  };
  if (draining_) return refused(ErrorCode::kNoNodeReady, "the coordinator is shutting down", "");
  if (table_.size() >= config_.max_inflight)
    return refused(ErrorCode::kOverloaded, str(table_.size(), " requests are already running"), "");
  const bool names_model = !model.empty() || n_choices > 0;
  if (nodes_.default_model() == nullptr)
    return refused(ErrorCode::kNoNodeReady, "no node is ready", "");
  if (names_model && !nodes_.knows_model(model))
    return refused(ErrorCode::kModelNotFound, "the model '" + model + "' does not exist", "model");
  return false;
}

void Forwarder::dispatch(const Client& client, ClientRequest request, size_t n_choices) {
  if (answer_if_resent(client, request) || refuse_if_needed(client, request, n_choices)) return;
  // A tokenize or detokenize may leave the model out; then the first model that is served is meant.
  set_model_if_empty(request, *nodes_.default_model());
  if (auto* generate = std::get_if<wire::Generate>(&request); generate && !generate->seed)
    generate->seed = seeds_.next();
  Result<ByteHold> bytes = hold_request_bytes(request, config_.bytes);
  if (!bytes) return refuse(client, id_of(request), bytes.error());
  auto entry = std::make_unique<Inflight>();
  entry->upstream_id = str(id_prefix_, n_dispatched_++);
  entry->client = client;
  entry->request_id = id_of(request);
  entry->fingerprint = find_group(nodes_.groups(), model_of(request))->serving().fingerprint;
  entry->n_tokens_at_least = tokens_at_least(request);
  entry->choices.resize(n_choices);
  entry->started = clock_.now();
  entry->deadline = entry->started + config_.request_timeout;
  entry->request = std::move(request);
  entry->bytes = std::move(*bytes);
  if (!send_to_some_node(*entry, entry->node))
    return refuse(client, entry->request_id,
                  {ErrorCode::kNoNodeReady, "no node takes requests now", ""});
  table_.add(std::move(entry));
  probes_.request_started();
}

// Skips nodes whose link cannot take a message now. Returns false when no candidate is left;
// otherwise `node` is the node that the request was sent to.
bool Forwarder::send_to_some_node(Inflight& request, NodeId& node) {
  wire::Message message = with_id(request.request, request.upstream_id);
  if (auto* generate = std::get_if<wire::Generate>(&message); generate && generate->deadline_ms) {
    // A deadline that is out of range is forwarded unchanged; the node refuses it.
    const auto waited = clock_.now() - request.started;
    const int64_t waited_ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
    int64_t& deadline_ms = *generate->deadline_ms;
    if (deadline_ms > 0) deadline_ms -= std::min(waited_ms, deadline_ms - 1);
  }
  std::vector<NodeId> passed_over;
  while (const std::optional<NodeId> chosen = placement_.choose(request, passed_over)) {
    if (!links_.send(*chosen, message)) {
      passed_over.push_back(*chosen);
      continue;
    }
    request.tried.push_back(*chosen);
    request.node_epoch = nodes_.node(*chosen).welcome->epoch;
    node = *chosen;
    return true;
  }
  return false;
}

// Called when the request's node refused it, was lost or ended it without being asked to, before
// the client had any output.
bool Forwarder::send_elsewhere(Inflight& request, std::string_view reason) {
  if (request.begun || request.cancelled || request.n_nodes_lost >= kMaxNodesLost) return false;
  NodeId node{};
  if (!send_to_some_node(request, node)) return false;
  table_.move(request, node);
  request.choices.assign(request.choices.size(), {});
  probes_.request_resent(reason);
  return true;
}

void Forwarder::cancel(const std::string& client_key, const std::string& request_id) {
  Inflight* request = table_.find(client_key, request_id);
  if (request == nullptr || request->cancelled) return;  // ended, or a cancel was sent before
  request->cancelled = true;
  request->deadline = std::min(request->deadline, clock_.now() + config_.cancel_timeout);
  links_.send(request->node, wire::Cancel{request->upstream_id});
}

void Forwarder::drop_client(const std::string& client_key) {
  for (Inflight* request : table_.of_client(client_key)) drop_request(*request);
}

void Forwarder::end_everything() {
  for (Inflight* request : table_.all()) {
    links_.send(request->node, wire::Cancel{request->upstream_id});
    end_with_error(*request, {ErrorCode::kNoNodeReady, "the server is shutting down", ""});
  }
}

void Forwarder::drop_request(Inflight& request) {
  links_.send(request.node, wire::Cancel{request.upstream_id});
  probes_.request_finished("disconnected", clock_.now() - request.started);
  table_.erase(request);
}

void Forwarder::on_node_message(NodeId node, wire::Message message) {
  if (auto* batch = std::get_if<wire::TokensBatch>(&message)) {
    for (wire::Tokens& tokens : batch->items) on_tokens(node, std::move(tokens));
    return;
  }
  if (auto* tokens = std::get_if<wire::Tokens>(&message))
    return on_tokens(node, std::move(*tokens));
  const auto find = [&](const std::string& id) -> Inflight* {
    Inflight* request = table_.find(id);
    return request != nullptr && request->node == node ? request : nullptr;
  };
  if (auto* accepted = std::get_if<wire::Accepted>(&message)) {
    if (Inflight* request = find(accepted->request_id)) on_accepted(*request, std::move(*accepted));
  } else if (auto* done = std::get_if<wire::Done>(&message)) {
    if (Inflight* request = find(done->request_id)) on_done(*request, std::move(*done));
  } else if (auto* error = std::get_if<wire::ErrorReply>(&message)) {
    if (Inflight* request = find(error->request_id))
      on_error(*request, {error->code, error->message, error->param});
    else if (error->request_id.empty())
      log(LogLevel::kWarning, str("node ", nodes_.node(node).endpoint, ": ", error->message));
  } else if (auto* tokenized = std::get_if<wire::Tokenized>(&message)) {
    if (Inflight* request = find(tokenized->request_id)) on_reply(*request, std::move(message));
  } else if (auto* detokenized = std::get_if<wire::Detokenized>(&message)) {
    if (Inflight* request = find(detokenized->request_id)) on_reply(*request, std::move(message));
  }
}

void Forwarder::on_unreadable(NodeId node, const std::string& upstream_id, const Error& error) {
  Inflight* request = table_.find(upstream_id);
  if (request == nullptr || request->node != node) return;
  links_.send(node, wire::Cancel{upstream_id});
  end_with_error(*request,
                 {ErrorCode::kInternal, "the node's answer cannot be read: " + error.message, ""});
}

void Forwarder::on_accepted(Inflight& request, wire::Accepted message) {
  if (!request.is_generate() || request.accepted) return;
  request.accepted = true;
  message.request_id = request.request_id;
  request.client.replies->deliver(std::move(message));
}

void Forwarder::on_tokens(NodeId node, wire::Tokens message) {
  Inflight* request = table_.find(message.request_id);
  if (request == nullptr || request->node != node) {
    // The coordinator has ended this request, for example because the node was declared dead: the
    // cancel makes the node stop computing it.
    probes_.stale_tokens_dropped();
    links_.send(node, wire::Cancel{message.request_id});
    return;
  }
  switch (token_order(*request, message)) {
    case TokenOrder::kStale:
      return probes_.stale_tokens_dropped();
    case TokenOrder::kBroken:
      links_.send(node, wire::Cancel{request->upstream_id});
      return end_with_error(*request, {ErrorCode::kInternal, "tokens were lost on the way", ""});
    case TokenOrder::kNext:
      break;
  }
  ChoiceProgress& choice = request->choices[message.choice];
  const auto now = clock_.now();
  if (!message.ids.empty()) {
    if (choice.last_token)
      probes_.more_tokens(message.ids.size(), now - *choice.last_token);
    else
      probes_.first_token(now - request->started);
    probes_.tokens_sent(message.ids.size());
    choice.last_token = now;
  }
  choice.ids.insert(choice.ids.end(), message.ids.begin(), message.ids.end());
  choice.finished = message.finish_reason.has_value();
  // The node ended the choice without being asked to, because it shuts down; its error follows.
  if (message.finish_reason == kCancelled && !request->cancelled) {
    message.finish_reason.reset();
    if (message.ids.empty() && message.text.empty()) return;
  }
  request->begun = true;
  message.request_id = request->request_id;
  request->client.replies->deliver(std::move(message));
}

void Forwarder::on_done(Inflight& request, wire::Done message) {
  if (!request.is_generate()) return;
  if (message.reason == kCancelled && !request.cancelled)
    return on_error(request,
                    {ErrorCode::kNoNodeReady, "the node that ran this request shut down", ""});
  probes_.usage(message.usage.prompt_tokens, message.usage.cached_tokens);
  message.request_id = request.request_id;
  const std::string reason = message.reason;
  finish(request, reason, std::move(message));
}

void Forwarder::on_reply(Inflight& request, wire::Message message) {
  if (auto* tokenized = std::get_if<wire::Tokenized>(&message))
    tokenized->request_id = request.request_id;
  if (auto* detokenized = std::get_if<wire::Detokenized>(&message))
    detokenized->request_id = request.request_id;
  finish(request, "stop", std::move(message));
}

// Ends the request unless it can be sent to another node. Afterwards `request` may be destroyed.
void Forwarder::on_error(Inflight& request, Error error) {
  const bool is_length = is_length_error(error.code);
  if (request.begun || !(is_node_state_error(error.code) || is_length))
    return end_with_error(request, std::move(error));
  if (is_length) placement_.record_too_long(request, request.node);
  keep_refusal(request.refusal, std::move(error));
  if (!send_elsewhere(request, "refused")) end_with_error(request, *request.refusal);
}

void Forwarder::on_heartbeat(NodeId node) { placement_.on_heartbeat(node); }

void Forwarder::on_node_lost(NodeId node) {
  placement_.on_node_lost(node);
  for (Inflight* request : table_.of_node(node)) {
    links_.send(node, wire::Cancel{request->upstream_id});  // in case the node was only slow
    on_lost(*request);
  }
}

void Forwarder::on_lost(Inflight& request) {
  ++request.n_nodes_lost;
  if (send_elsewhere(request, "lost")) return;
  probes_.request_lost();
  const Error lost{ErrorCode::kDecodeFailed, "the node that ran this request was lost", ""};
  const bool was_refused = !request.begun && request.refusal.has_value();
  end_with_error(request, was_refused ? *request.refusal : lost);
}

void Forwarder::expire() {
  for (Inflight* request : table_.past_deadline(clock_.now())) {
    if (request->cancelled) {
      end_with_error(*request, {ErrorCode::kCancelled, "cancelled", ""});
      continue;
    }
    links_.send(request->node, wire::Cancel{request->upstream_id});
    const auto limit = std::chrono::duration<double>(config_.request_timeout).count();
    end_with_error(*request, {ErrorCode::kDeadlineExceeded,
                              str("not finished after ", limit, " seconds"), ""});
  }
}

void Forwarder::end_with_error(Inflight& request, Error error) {
  const std::string outcome(to_string(error.code));
  finish(request, outcome,
         wire::ErrorReply{request.request_id, error.code, std::move(error.message),
                          std::move(error.param)});
}

void Forwarder::finish(Inflight& request, std::string_view outcome, wire::Message final_message) {
  const Client client = request.client;
  probes_.request_finished(outcome, clock_.now() - request.started);
  table_.erase(request);
  client.replies->deliver(std::move(final_message));
}

void Forwarder::refuse(const Client& client, const std::string& request_id, Error error) {
  probes_.request_refused(to_string(error.code));
  client.replies->deliver(
      wire::ErrorReply{request_id, error.code, std::move(error.message), std::move(error.param)});
}

}  // namespace lockstep
