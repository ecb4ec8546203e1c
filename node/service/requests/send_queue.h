// SendQueue: sends all messages of a node to its peers through the one ROUTER. It guarantees that a
// stream ends with its final message: a message that a slow peer does not accept now is queued
// (bounded) and retried in order. Only token outputs and heartbeats may be refused. I/O thread
// only.
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

  // Sends replies and final messages. A message that its reader could not read is replaced by an
  // error that says so.
  void send(const std::string& peer, const wire::Message& message);
  // Sends token outputs and heartbeats. False if the peer does not accept them now; then nothing is
  // queued.
  bool try_send(const std::string& peer, std::string_view body);

  // Retries the queued messages.
  void flush();
  bool empty() const { return unsent_.empty(); }
  // Returns the peers that were found gone, or too slow to keep, since the last call.
  std::vector<std::string> take_lost();

 private:
  bool deliver(const std::string& peer, std::string_view body);
  void lose(const std::string& peer);

  const SendFunction send_;
  std::unordered_map<std::string, std::deque<std::string>> unsent_;  // none empty
  std::set<std::string> lost_;
};

}  // namespace lockstep
