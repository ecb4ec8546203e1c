#include "coordinator/requests/attempt_sender.h"

#include <algorithm>
#include <iomanip>
#include <optional>
#include <random>
#include <sstream>
#include <utility>
#include <vector>

#include "common/log.h"

namespace lockstep {
namespace {

std::string random_prefix() {
  std::random_device device;
  std::ostringstream out;
  out << 'c' << std::hex << std::setfill('0') << std::setw(8) << device() << '-';
  return out.str();
}

// A deadline that is out of range is forwarded unchanged; the node refuses it.
int64_t deadline_left(int64_t deadline_ms, Clock::TimePoint::duration waited) {
  if (deadline_ms <= 0) return deadline_ms;
  const auto waited_ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
  return deadline_ms - std::min<int64_t>(waited_ms, deadline_ms - 1);
}

}  // namespace

AttemptSender::AttemptSender(const NodeTable& nodes, InflightTable& table, Placement& placement,
                             NodeLinks& links, const Clock& clock)
    : nodes_(nodes),
      table_(table),
      placement_(placement),
      links_(links),
      clock_(clock),
      id_prefix_(random_prefix()) {}

bool AttemptSender::send(Inflight& request) {
  std::string upstream_id = str(id_prefix_, n_sent_);
  std::string bytes;
  std::vector<NodeId> passed_over;
  while (const std::optional<NodeId> chosen = placement_.choose(request, passed_over)) {
    if (bytes.empty()) bytes = encode(request, upstream_id);
    if (!links_.send_encoded(*chosen, bytes)) {
      passed_over.push_back(*chosen);
      continue;
    }
    ++n_sent_;
    placement_.sent(request);
    const uint64_t epoch = nodes_.node(*chosen).welcome->epoch;
    request.tried.push_back({*chosen, epoch});
    table_.begin_attempt(request, *chosen, epoch, std::move(upstream_id));
    return true;
  }
  return false;
}

std::string AttemptSender::encode(Inflight& request, const std::string& upstream_id) const {
  AttemptFields fields{.request_id = upstream_id,
                       .attempt = request.n_attempts,
                       .emitted = emitted_of(request),
                       .deadline_ms = std::nullopt,
                       .prompt_ids = request.prompt ? &request.prompt->ids : nullptr};
  const auto* generate = std::get_if<wire::Generate>(&request.request);
  if (generate != nullptr && generate->deadline_ms)
    fields.deadline_ms = deadline_left(*generate->deadline_ms, clock_.now() - request.started);
  return encode_attempt(request.request, std::move(fields));
}

}  // namespace lockstep
