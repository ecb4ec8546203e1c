// RequestDispatcher: handles a client's message, in the same way for HTTP and ZeroMQ. Generate,
// tokenize, detokenize and cancel go to the forwarder; queries about the cluster are answered here.
// I/O thread only.
#pragma once

#include <cstdint>
#include <functional>

#include "coordinator/cluster/cluster_view.h"
#include "coordinator/requests/client.h"
#include "coordinator/requests/forwarder.h"

namespace lockstep {

class RequestDispatcher {
 public:
  // `view` returns the cluster's present state.
  RequestDispatcher(Forwarder& forwarder, std::function<ClusterView()> view);

  void on_message(const Client& client, wire::Message message);

 private:
  wire::Welcome welcome() const;

  Forwarder& forwarder_;
  const std::function<ClusterView()> view_;
  const uint64_t epoch_;  // of this coordinator process
};

}  // namespace lockstep
