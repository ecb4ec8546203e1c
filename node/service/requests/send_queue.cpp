#include "node/service/requests/send_queue.h"

#include <iterator>

#include "common/log.h"
#include "wire/codec/sendable.h"

namespace lockstep {
namespace {

// Per peer, beyond its queue in ZeroMQ. A request has one final message, so this covers many
// requests.
constexpr size_t kMaxUnsent = 8192;

}  // namespace

void SendQueue::send(const std::string& peer, const wire::Message& message) {
  std::string body = wire::encode_sendable(message);
  const auto kept = unsent_.find(peer);
  if (kept == unsent_.end() && deliver(peer, body)) return;
  if (lost_.contains(peer)) return;
  std::deque<std::string>& queue = unsent_[peer];
  queue.push_back(std::move(body));
  if (queue.size() > kMaxUnsent) lose(peer);
}

bool SendQueue::try_send(const std::string& peer, std::string_view body) {
  return !unsent_.contains(peer) && deliver(peer, body);
}

void SendQueue::flush() {
  for (auto it = unsent_.begin(); it != unsent_.end();) {
    const auto next = std::next(it);
    const std::string peer = it->first;
    std::deque<std::string>& queue = it->second;
    while (!queue.empty() && deliver(peer, queue.front())) queue.pop_front();
    if (queue.empty() || lost_.contains(peer)) unsent_.erase(peer);
    it = next;
  }
}

std::vector<std::string> SendQueue::take_lost() {
  std::vector<std::string> lost(lost_.begin(), lost_.end());
  lost_.clear();
  return lost;
}

bool SendQueue::deliver(const std::string& peer, std::string_view body) {
  if (lost_.contains(peer)) return false;
  const Result<wire::SendResult> sent = send_(peer, body);
  if (!sent) {
    log(LogLevel::kError, sent.error().message);
    lost_.insert(peer);
    return false;
  }
  if (*sent == wire::SendResult::kUnreachable) lost_.insert(peer);
  return *sent == wire::SendResult::kSent;
}

void SendQueue::lose(const std::string& peer) {
  lost_.insert(peer);
  unsent_.erase(peer);
}

}  // namespace lockstep
