#include "coordinator/requests/placement.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <variant>

#include "coordinator/requests/route_request.h"

namespace lockstep {
namespace {

// No known vocabulary has a longer token. With a longer token, a long text would be sent to the
// node with the longest context although a smaller context would do.
constexpr int64_t kLongestTokenBytes = 256;
// Proxies refuse answers with headers of more than 4 or 8 KiB.
constexpr size_t kMaxReceiptCandidates = 8;
constexpr int64_t kMostOutputTokens = std::numeric_limits<int32_t>::max();

int64_t prompt_tokens_at_least(const wire::Generate& request) {
  if (request.prompt_ids) return static_cast<int64_t>(request.prompt_ids->size());
  size_t n_bytes = request.prompt_text ? request.prompt_text->size() : 0;
  if (request.messages) {
    for (const wire::ChatMessage& message : *request.messages) n_bytes += message.content.size();
  }
  return std::max<int64_t>(1, static_cast<int64_t>(n_bytes) / kLongestTokenBytes);
}

// Maximum of prompt and output tokens of one sequence at the node.
int64_t most_tokens(const Node& node, const std::string& model) {
  const wire::ModelInfo* info = node.find_model(model);
  const auto context = info == nullptr ? 0 : static_cast<int64_t>(info->max_model_len);
  const int64_t pool = node.welcome->n_kv_blocks * node.welcome->block_size;
  return pool > 0 ? std::min(context, pool) : context;
}

bool is_usable(const std::optional<wire::StepTimes>& times) {
  if (!times) return false;
  const std::array terms = {times->base, times->prompt_token, times->prompt_context,
                            times->sequence, times->context};
  return std::all_of(terms.begin(), terms.end(),
                     [](double ms) { return std::isfinite(ms) && ms >= 0; });
}

template <class T>
bool contains(const std::vector<T>& all, const T& wanted) {
  return std::find(all.begin(), all.end(), wanted) != all.end();
}

}  // namespace

int64_t tokens_at_least(const ClientRequest& request) {
  const auto* generate = std::get_if<wire::Generate>(&request);
  if (generate == nullptr) return 0;
  const int64_t n_output =
      std::clamp<int64_t>(generate->max_tokens.value_or(1), 1, kMostOutputTokens);
  return prompt_tokens_at_least(*generate) + n_output;
}

Placement::Placement(const NodeTable& nodes, const InflightTable& requests, Router router,
                     CoordinatorProbes& probes)
    : nodes_(nodes),
      requests_(requests),
      probes_(probes),
      router_(std::move(router)),
      n_foreign_(nodes.nodes().size(), 0) {}

bool Placement::may_run(const Node& node, const Inflight& request) const {
  return node.is_present() && node.welcome->fingerprint == request.fingerprint &&
         node.serves(model_of(request.request));
}

bool Placement::has_room(const Node& node, const Inflight& request) const {
  return request.n_tokens_at_least <= most_tokens(node, model_of(request.request));
}

RouteCandidate Placement::candidate(const Node& node) const {
  const wire::Heartbeat& load = node.load;
  const auto n_prompt = static_cast<double>(load.n_prompt_tokens);
  return {.node = node.id,
          .endpoint = node.endpoint,
          .n_sequences = n_foreign_[raw(node.id)] + requests_.n_choices(node.id),
          .capacity = node.welcome->max_num_seqs,
          .backend = node.welcome->backend,
          .step_times = is_usable(load.step_times) ? load.step_times : std::nullopt,
          .n_context_tokens = load.n_context_tokens,
          .n_blocks_free = load.n_blocks_free,
          .reuse = n_prompt > 0 ? static_cast<double>(load.n_cached_tokens) / n_prompt : 0};
}

std::optional<NodeId> Placement::choose(const Inflight& request,
                                        const std::vector<NodeId>& passed_over) {
  enum Preference { kReady, kSuspect, kStalled };
  std::array<std::vector<RouteCandidate>, 3> candidates;
  const bool some_have_room =
      request.refused_as_too_long ||
      std::any_of(nodes_.nodes().begin(), nodes_.nodes().end(), [&](const auto& node) {
        return may_run(*node, request) && has_room(*node, request);
      });
  for (const auto& node : nodes_.nodes()) {
    if (!may_run(*node, request) || !node->takes_work()) continue;
    if (some_have_room && !has_room(*node, request)) continue;
    const TriedNode present{node->id, node->welcome->epoch};
    if (contains(request.tried, present) || contains(passed_over, node->id)) continue;
    const Preference preference = node->stalled                        ? kStalled
                                  : node->state == NodeState::kSuspect ? kSuspect
                                                                       : kReady;
    candidates[preference].push_back(candidate(*node));
  }
  for (auto& preferred : candidates) {
    if (preferred.empty()) continue;
    candidates_ = std::move(preferred);
    asked_ = route_request(request);
    return router_.pick(asked_, candidates_);
  }
  return std::nullopt;
}

void Placement::sent(Inflight& request) {
  const auto* generate = std::get_if<wire::Generate>(&request.request);
  if (generate == nullptr) return;
  const bool is_http = !request.client.trace_id.empty();
  const RouteDecision& decision =
      router_.sent(asked_, candidates_,
                   {.request_id = is_http ? request.client.trace_id : request.request_id,
                    .prompt = is_http ? request.request_id : "",
                    .attempt = request.n_attempts});
  probes_.route_decision(to_string(decision.policy), to_string(decision.reason));
  if (generate->return_route_receipt)
    request.route_receipt = route_receipt(decision, kMaxReceiptCandidates);
}

void Placement::on_outputs(const Inflight& request) {
  for (const ChoiceProgress& choice : request.choices) {
    if (choice.finish_reason) router_.on_outputs(choice.ids.size());
  }
}

void Placement::record_too_long(Inflight& request, NodeId node) const {
  request.refused_as_too_long = true;
  request.n_tokens_at_least = std::max(
      request.n_tokens_at_least, most_tokens(nodes_.node(node), model_of(request.request)) + 1);
}

void Placement::on_heartbeat(NodeId node) {
  const wire::Heartbeat& load = nodes_.node(node).load;
  n_foreign_[raw(node)] =
      std::max<int64_t>(0, load.n_running + load.n_waiting - requests_.n_choices(node));
  router_.on_heartbeat(node, load.n_prompt_tokens_pending);
}

void Placement::on_node_lost(NodeId node) {
  n_foreign_[raw(node)] = 0;
  router_.on_node_lost(node);
}

}  // namespace lockstep
