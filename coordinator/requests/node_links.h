// NodeLinks: the coordinator's sending side towards its nodes. The I/O thread implements it over
// ZeroMQ; tests record the messages.
#pragma once

#include "common/ids.h"
#include "wire/messages.h"

namespace lockstep {

class NodeLinks {
 public:
  virtual ~NodeLinks() = default;
  // Returns false when the node's link cannot take a message now.
  virtual bool send(NodeId node, const wire::Message& message) = 0;
};

}  // namespace lockstep
