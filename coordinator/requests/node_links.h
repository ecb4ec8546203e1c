// NodeLinks: the coordinator's sending side towards its nodes. The I/O thread implements it over
// ZeroMQ; tests record the messages.
#pragma once

#include <string_view>

#include "common/ids.h"
#include "wire/messages.h"

namespace lockstep {

class NodeLinks {
 public:
  virtual ~NodeLinks() = default;
  // Returns false when the node's link cannot take a message now.
  virtual bool send(NodeId node, const wire::Message& message) = 0;
  // The same for the bytes of a message (wire/codec/codec.h).
  virtual bool send_encoded(NodeId node, std::string_view bytes) = 0;
};

}  // namespace lockstep
