#include "coordinator/requests/inflight_table.h"

#include <utility>

#include "common/check.h"

namespace lockstep {
namespace {

template <class Map, class Predicate>
std::vector<Inflight*> collect(const Map& map, Predicate wanted) {
  std::vector<Inflight*> out;
  for (const auto& [id, request] : map) {
    if (wanted(*request)) out.push_back(&*request);
  }
  return out;
}

}  // namespace

TokenOrder token_order(const Inflight& request, const wire::Tokens& tokens) {
  if (tokens.epoch != request.node_epoch || tokens.attempt != request.attempt)
    return TokenOrder::kStale;
  if (tokens.choice >= request.choices.size()) return TokenOrder::kBroken;
  const ChoiceProgress& choice = request.choices[tokens.choice];
  if (choice.finished) return TokenOrder::kStale;
  const size_t n_sent = choice.ids.size();
  if (tokens.first_index == n_sent) return TokenOrder::kNext;
  const bool is_repeat = size_t{tokens.first_index} + tokens.ids.size() <= n_sent;
  return is_repeat ? TokenOrder::kStale : TokenOrder::kBroken;
}

Inflight& InflightTable::add(std::unique_ptr<Inflight> request) {
  Inflight& added = *request;
  const bool is_new = by_client_[added.client.key].emplace(added.request_id, &added).second &&
                      by_upstream_.emplace(added.upstream_id, std::move(request)).second;
  CHECK(is_new);
  n_choices_[raw(added.node)] += static_cast<int64_t>(added.choices.size());
  return added;
}

Inflight* InflightTable::find(const std::string& upstream_id) {
  const auto it = by_upstream_.find(upstream_id);
  return it == by_upstream_.end() ? nullptr : it->second.get();
}

Inflight* InflightTable::find(const std::string& client_key, const std::string& request_id) {
  const auto client = by_client_.find(client_key);
  if (client == by_client_.end()) return nullptr;
  const auto request = client->second.find(request_id);
  return request == client->second.end() ? nullptr : request->second;
}

void InflightTable::move(Inflight& request, NodeId node) {
  const auto n = static_cast<int64_t>(request.choices.size());
  n_choices_[raw(request.node)] -= n;
  n_choices_[raw(node)] += n;
  request.node = node;
}

void InflightTable::erase(Inflight& request) {
  n_choices_[raw(request.node)] -= static_cast<int64_t>(request.choices.size());
  const auto client = by_client_.find(request.client.key);
  client->second.erase(request.request_id);
  if (client->second.empty()) by_client_.erase(client);
  by_upstream_.erase(std::string(request.upstream_id));  // a copy: erase destroys the request
}

std::vector<Inflight*> InflightTable::all() {
  return collect(by_upstream_, [](const Inflight&) { return true; });
}

std::vector<Inflight*> InflightTable::of_client(const std::string& client_key) {
  const auto client = by_client_.find(client_key);
  if (client == by_client_.end()) return {};
  return collect(client->second, [](const Inflight&) { return true; });
}

std::vector<Inflight*> InflightTable::of_node(NodeId node) {
  return collect(by_upstream_, [&](const Inflight& r) { return r.node == node; });
}

std::vector<Inflight*> InflightTable::past_deadline(Clock::TimePoint now) {
  return collect(by_upstream_, [&](const Inflight& r) { return r.deadline <= now; });
}

void InflightTable::check_invariants() const {
  size_t n_by_client = 0;
  std::vector<int64_t> n_choices(n_choices_.size(), 0);
  for (const auto& [key, requests] : by_client_) {
    CHECK(!requests.empty());
    n_by_client += requests.size();
    for (const auto& [request_id, request] : requests) {
      CHECK_EQ(request->request_id, request_id);
      CHECK_EQ(by_upstream_.at(request->upstream_id).get(), request);  // 1
      n_choices[raw(request->node)] += static_cast<int64_t>(request->choices.size());
    }
  }
  CHECK_EQ(n_by_client, by_upstream_.size());  // 1
  CHECK(n_choices == n_choices_);              // 2
}

}  // namespace lockstep
