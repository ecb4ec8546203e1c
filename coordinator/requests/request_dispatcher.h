// RequestDispatcher: handles a client's message, in the same way for HTTP and ZeroMQ. Generate,
// attach, tokenize, detokenize and cancel go to the forwarder; queries about the cluster are
// answered here. A client that sends generate or attach as a message, over ZeroMQ, gets its resume
// token in `accepted`. I/O thread only.
#pragma once

#include <cstdint>
#include <functional>

#include "coordinator/cluster/cluster_view.h"
#include "coordinator/requests/client.h"
#include "coordinator/requests/forwarder.h"
#include "coordinator/resume/resume_tokens.h"

namespace lockstep {

class RequestDispatcher {
 public:
  // `tokens` must outlive the forwarder's requests. `view` returns the cluster's present state.
  RequestDispatcher(Forwarder& forwarder, const ResumeTokens& tokens,
                    std::function<ClusterView()> view);

  void on_message(const Client& client, wire::Message message);

 private:
  void generate(const Client& client, wire::Generate request);
  void attach(const Client& client, wire::Attach request);
  wire::Welcome welcome() const;

  Forwarder& forwarder_;
  const ResumeTokens& tokens_;
  const std::function<ClusterView()> view_;
  const uint64_t epoch_;  // of this coordinator process
};

}  // namespace lockstep
