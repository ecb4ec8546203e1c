// UnreachedNodes: produces, once for each node that never answered, a log line with the reason why
// its endpoint cannot be reached. It is needed because ZeroMQ resolves names and reconnects by
// itself and does not report why that fails. tick() runs on the I/O thread; finding the reason may
// block on DNS and runs on a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/cluster/node.h"

namespace lockstep {

// Tries to resolve a tcp:// endpoint and to connect to it; connecting takes at most `timeout`.
// Returns the reason why the endpoint cannot be reached, for a log line.
std::string why_unreached(const std::string& endpoint, std::chrono::milliseconds timeout);

class UnreachedNodes {
 public:
  using Explain = std::function<std::string(const std::string& endpoint)>;
  using RunApart = std::function<void(std::function<void()>)>;

  // `explain` is called for a node that has been connecting for `n_ticks` calls of tick() in a row,
  // and again for the same node only after it was present in between. `run_apart` must run its task
  // on another thread.
  UnreachedNodes(size_t n_ticks, Explain explain, RunApart run_apart);

  // Returns the log lines that are ready now.
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
  // Shared with the tasks on other threads, which may outlive this object.
  const std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();
  // I/O thread
  std::vector<size_t> n_waited_;  // [n_nodes] ticks in a row that the node has been connecting
};

}  // namespace lockstep
