// ClusterClient: the interface to the cluster that the HTTP handlers use. ZmqFrontend implements
// it; tests have implementations of their own. Any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "coordinator/cluster/cluster_view.h"
#include "coordinator/requests/client.h"
#include "coordinator/resume/resume_tokens.h"

namespace lockstep {

class ClusterClient {
 public:
  virtual ~ClusterClient() = default;
  // Returns false when too many messages are queued already; then nothing is delivered.
  virtual bool submit(Client client, wire::Message message) = 0;
  // Submits the prompts of one request, at least one. All prompts get the same seed, and their
  // choices are numbered consecutively. `required_fingerprint`: as in Forwarder::submit.
  virtual bool submit(Client client, std::vector<wire::Generate> prompts,
                      std::string required_fingerprint) = 0;
  // Cancels the client's requests. Nothing more is delivered to the client.
  virtual void drop_client(std::string client_key) = 0;
  virtual std::shared_ptr<const ClusterView> view() const = 0;
  virtual const ResumeTokens& resume_tokens() const = 0;
};

// Cancels the generations that an HTTP request started, unless disarm() was called because all of
// them ended normally. The object lives in the request's coroutine.
class CancelOnExit {
 public:
  CancelOnExit(ClusterClient& cluster, std::string client_key)
      : cluster_(cluster), client_key_(std::move(client_key)) {}
  CancelOnExit(const CancelOnExit&) = delete;
  CancelOnExit& operator=(const CancelOnExit&) = delete;
  ~CancelOnExit() {
    if (armed_) cluster_.drop_client(client_key_);
  }
  void disarm() { armed_ = false; }

 private:
  ClusterClient& cluster_;
  const std::string client_key_;
  bool armed_ = true;
};

}  // namespace lockstep
