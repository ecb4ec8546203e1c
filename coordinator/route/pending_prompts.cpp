#include "coordinator/route/pending_prompts.h"

#include <algorithm>

namespace lockstep {

void PendingPrompts::on_sent(NodeId node, int64_t n_tokens, Clock::TimePoint now) {
  PerNode& entry = nodes_[raw(node)];
  entry.sent.push_back({now, n_tokens});
  entry.n_sent += n_tokens;
}

void PendingPrompts::on_heartbeat(NodeId node, int64_t n_pending, Clock::TimePoint now) {
  PerNode& entry = nodes_[raw(node)];
  entry.n_reported = n_pending;
  entry.reported_at = now;
  while (!entry.sent.empty() && entry.sent.front().at + kOnTheWay <= now) {
    entry.n_sent -= entry.sent.front().n_tokens;
    entry.sent.pop_front();
  }
}

int64_t PendingPrompts::estimate(NodeId node, double prompt_token_ms, Clock::TimePoint now) const {
  const PerNode& entry = nodes_[raw(node)];
  const int64_t n_pending = entry.n_reported + entry.n_sent;
  if (n_pending == 0 || prompt_token_ms <= 0) return n_pending;
  // Without a heartbeat yet, nothing is known to have been computed.
  if (entry.reported_at == Clock::TimePoint{}) return n_pending;
  const double elapsed_ms =
      std::chrono::duration<double, std::milli>(now - entry.reported_at).count();
  const auto n_computed = static_cast<int64_t>(
      std::min(elapsed_ms / prompt_token_ms, static_cast<double>(entry.n_reported)));
  return n_pending - n_computed;
}

}  // namespace lockstep
