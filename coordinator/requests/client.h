// Client: the sender of a request to the coordinator, over HTTP or ZeroMQ. Both kinds of client use
// the messages of wire/messages.h; only the destination of the replies differs.
#pragma once

#include <memory>
#include <string>

#include "wire/messages.h"

namespace lockstep {

class ReplySink {
 public:
  virtual ~ReplySink() = default;
  // Called on the I/O thread; must not block.
  virtual void deliver(wire::Message message) = 0;
};

struct Client {
  std::string key;  // unique among this coordinator's clients; request ids are unique per key
  std::shared_ptr<ReplySink> replies;
  // Of an HTTP request: its X-Request-Id, under which its routes are logged. Empty: a ZeroMQ
  // client, whose request ids are used.
  std::string trace_id = {};
};

}  // namespace lockstep
