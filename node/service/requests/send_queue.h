// SendQueue: everything a node sends to its peers, through the one ROUTER. Keeps the promise that a
// stream ends with its final message: what a slow peer cannot take now is kept (bounded) and
// retried, in order; only token news may be refused. Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "wire/messages.h"
#include "wire/zmq/socket.h"

namespace lockstep {

class SendQueue {
 public:
  using SendFunction =
      std::function<Result<wire::SendResult>(const std::string& peer, std::string_view body)>;
  explicit SendQueue(SendFunction send) : send_(std::move(send)) {}

  // Replies and final messages. One that its reader could not read becomes the error that says so.
  void send(const std::string& peer, const wire::Message& message);
  // Token news and heartbeats: false when the peer does not take them now; then nothing is kept.
  bool try_send(const std::string& peer, std::string_view body);

  // Tries again what is kept.
  void flush();
  bool empty() const { return unsent_.empty(); }
  // Peers found gone, or so slow that they count as gone, since the last call.
  std::vector<std::string> take_lost();

 private:
  bool deliver(const std::string& peer, std::string_view body);
  void lose(const std::string& peer);

  const SendFunction send_;
  std::unordered_map<std::string, std::deque<std::string>> unsent_;  // none empty
  std::set<std::string> lost_;
};

}  // namespace lockstep
