// UnreachedNodes: says of each node that never answered, once, why its endpoint cannot be reached.
// ZeroMQ resolves names and connects by itself, again and again, and tells nobody why it fails.
// tick() on the I/O thread; the explanation, which may block on DNS, runs on a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/cluster/node.h"

namespace lockstep {

// Tries to resolve and to connect to a tcp:// endpoint, for at most `timeout` when connecting.
// Returns the reason why it cannot be reached, for a log line.
std::string why_unreached(const std::string& endpoint, std::chrono::milliseconds timeout);

class UnreachedNodes {
 public:
  using Explain = std::function<std::string(const std::string& endpoint)>;
  using RunApart = std::function<void(std::function<void()>)>;

  // A node is explained when it has been connecting for `n_ticks` calls of tick() in a row. It is
  // explained again only after it was there in between. `run_apart` starts a task elsewhere.
  UnreachedNodes(size_t n_ticks, Explain explain, RunApart run_apart);

  // Lines for the log that are ready now.
  std::vector<std::string> tick(const NodeList& nodes);

 private:
  struct Lines {
    std::mutex mutex;
    std::vector<std::string> ready;  // guarded by mutex
  };

  // constant after construction
  const size_t n_ticks_;
  const Explain explain_;
  const RunApart run_apart_;
  const std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();  // outlives us in the tasks
  // I/O thread
  std::vector<size_t> n_waited_;  // [n_nodes] ticks
};

}  // namespace lockstep
