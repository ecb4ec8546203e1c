// Client: whoever asks the coordinator for something, over HTTP or ZeroMQ. Both speak the wire's
// vocabulary; only where the replies go differs.
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
  std::string key;  // unique among the clients of this coordinator; request ids are unique per key
  std::shared_ptr<ReplySink> replies;
};

}  // namespace lockstep
