#include "coordinator/requests/inflight_table.h"

#include <utility>

#include "common/check.h"

namespace lockstep {

Inflight& InflightTable::add(std::unique_ptr<Inflight> request) {
  Inflight& added = *request;
  CHECK(!added.node);
  auto& of_client = by_client_[added.client.key];
  const bool is_new = of_client.emplace(added.request_id, std::move(request)).second;
  CHECK(is_new);
  ++n_requests_;
  return added;
}

Inflight* InflightTable::find(const std::string& upstream_id) {
  const auto it = by_upstream_.find(upstream_id);
  return it == by_upstream_.end() ? nullptr : it->second;
}

Inflight* InflightTable::find(const std::string& client_key, const std::string& request_id) {
  const auto client = by_client_.find(client_key);
  if (client == by_client_.end()) return nullptr;
  const auto request = client->second.find(request_id);
  return request == client->second.end() ? nullptr : request->second.get();
}

void InflightTable::begin_attempt(Inflight& request, NodeId node, uint64_t node_epoch,
                                  std::string upstream_id) {
  end_attempt(request);
  request.node = node;
  request.node_epoch = node_epoch;
  request.attempt = request.n_attempts++;
  request.upstream_id = std::move(upstream_id);
  const bool is_new = by_upstream_.emplace(request.upstream_id, &request).second;
  CHECK(is_new);
  n_choices_[raw(node)] += static_cast<int64_t>(request.choices.size());
}

void InflightTable::end_attempt(Inflight& request) {
  if (!request.node) return;
  n_choices_[raw(*request.node)] -= static_cast<int64_t>(request.choices.size());
  by_upstream_.erase(request.upstream_id);
  request.node.reset();
}

void InflightTable::erase(Inflight& request) {
  end_attempt(request);
  const auto client = by_client_.find(request.client.key);
  client->second.erase(std::string(request.request_id));  // a copy: erase destroys the request
  if (client->second.empty()) by_client_.erase(client);
  --n_requests_;
}

template <class Predicate>
std::vector<Inflight*> InflightTable::collect(Predicate wanted) {
  std::vector<Inflight*> out;
  for (const auto& [key, requests] : by_client_) {
    for (const auto& [id, request] : requests) {
      if (wanted(*request)) out.push_back(request.get());
    }
  }
  return out;
}

std::vector<Inflight*> InflightTable::all() {
  return collect([](const Inflight&) { return true; });
}

std::vector<Inflight*> InflightTable::of_client(const std::string& client_key) {
  std::vector<Inflight*> out;
  const auto client = by_client_.find(client_key);
  if (client == by_client_.end()) return out;
  for (const auto& [id, request] : client->second) out.push_back(request.get());
  return out;
}

std::vector<Inflight*> InflightTable::of_node(NodeId node) {
  std::vector<Inflight*> out;
  for (const auto& [id, request] : by_upstream_) {
    if (request->node == node) out.push_back(request);
  }
  return out;
}

std::vector<Inflight*> InflightTable::without_node() {
  if (n_without_node() == 0) return {};
  return collect([](const Inflight& request) { return !request.node; });
}

std::vector<Inflight*> InflightTable::past_limit(Clock::TimePoint now) {
  return collect([now](const Inflight& request) {
    return request.deadline <= now || (!request.node && *request.node_deadline <= now);
  });
}

void InflightTable::check_invariants() const {
  size_t n_requests = 0, n_with_node = 0;
  std::vector<int64_t> n_choices(n_choices_.size(), 0);
  for (const auto& [key, requests] : by_client_) {
    CHECK(!requests.empty());
    n_requests += requests.size();
    for (const auto& [request_id, request] : requests) {
      CHECK_EQ(request->request_id, request_id);
      CHECK(request->state != RequestState::kEnded);
      if (!request->node) continue;
      ++n_with_node;
      CHECK_EQ(by_upstream_.at(request->upstream_id), request.get());  // 1
      n_choices[raw(*request->node)] += static_cast<int64_t>(request->choices.size());
    }
  }
  CHECK_EQ(n_requests, n_requests_);           // 3
  CHECK_EQ(n_with_node, by_upstream_.size());  // 1, 3
  CHECK(n_choices == n_choices_);              // 2
}

}  // namespace lockstep
