// ClusterClient: what the HTTP handlers need of the cluster; ZmqFrontend is one, tests bring their
// own. Any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "coordinator/cluster/cluster_view.h"
#include "coordinator/requests/client.h"

namespace lockstep {

class ClusterClient {
 public:
  virtual ~ClusterClient() = default;
  // False when too many messages wait already; then nothing is delivered.
  virtual bool submit(Client client, wire::Message message) = 0;
  // The prompts of one request, at least one: one seed for all, their choices numbered through.
  virtual bool submit(Client client, std::vector<wire::Generate> prompts) = 0;
  // The client sends and gets nothing more; its requests are cancelled.
  virtual void drop_client(std::string client_key) = 0;
  virtual std::shared_ptr<const ClusterView> view() const = 0;
};

// Cancels what an HTTP request started, unless it ended well. Lives in the request's coroutine.
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
