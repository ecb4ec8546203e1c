// NodeTable: which nodes there are, what they said last and whether they live. Pure bookkeeping
// over an injected clock; sends nothing. zio thread only.
//
//                  welcome                    silent 750 ms            silent 2 s
//   kConnecting ───────────────► kReady ───────────────────► kSuspect ───────────► kDead
//                                  ▲   any message of its epoch │                    │
//                                  ├────────────────────────────┘                    │
//                                  └──────────────────── welcome ────────────────────┘
//
// Every node that is not kReady is greeted again every kHelloInterval. A welcome or heartbeat with
// another epoch means that the node restarted, a welcome to a new peer that our connection broke:
// what it carried for us is gone.
//
// Silence is counted from expire() to expire(), at most half of kSuspect's time each: when our own
// thread was away for longer, what the nodes said meanwhile waits unread, and it was not they who
// were silent.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "wire/messages.h"

namespace lockstep {

enum class NodeState { kConnecting, kReady, kSuspect, kDead };

struct NodeTimeouts {
  std::chrono::milliseconds suspect{750};
  std::chrono::milliseconds dead{2000};
  std::chrono::milliseconds hello_interval{250};
};

struct Node {
  NodeId id{};
  std::string endpoint;
  NodeState state = NodeState::kConnecting;
  wire::Welcome welcome;   // meaningful once it was kReady
  wire::Heartbeat load;    // the last one; counters are zero until it came
  Clock::TimePoint heard;  // last message of the present epoch; later by our own absences
  std::optional<Clock::TimePoint> greeted;

  bool serves(const std::string& model) const;
  bool is_present() const { return state == NodeState::kReady || state == NodeState::kSuspect; }
  // Ready or suspect: a node that is merely quiet may be the only one there is.
  bool takes_work() const { return is_present() && !load.draining; }
};

// "connecting", "ready", "suspect", "dead", "draining"
const char* state_name(const Node& node);

class NodeTable {
 public:
  NodeTable(const std::vector<std::string>& endpoints, const Clock& clock,
            NodeTimeouts timeouts = {});

  // What a message from a node changed.
  enum class Change {
    kNone,
    kReady,      // it may get work now
    kRestarted,  // a new epoch or connection: kReady, and every stream of the old one is lost
    kLost,       // it restarted but has not said welcome yet: streams lost, no new work
  };
  Change on_welcome(NodeId id, const wire::Welcome& welcome);
  Change on_heartbeat(NodeId id, const wire::Heartbeat& heartbeat);
  Change on_other_message(NodeId id);

  // Nodes that were declared dead since the last call; moves the quiet ones on. To be called often
  // in `timeouts.suspect`.
  std::vector<NodeId> expire();
  // Nodes to greet now.
  std::vector<NodeId> due_for_hello() const;
  void on_hello_sent(NodeId id) { nodes_[raw(id)].greeted = clock_.now(); }

  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(NodeId id) const { return nodes_[raw(id)]; }
  // Some node that is ready or suspect serves `model`.
  bool knows_model(const std::string& model) const;
  // The first model of the first node that is ready or suspect; nullptr when there is none.
  const std::string* default_model() const;
  // Every model of the nodes that are ready or suspect, each once.
  std::vector<wire::ModelInfo> models() const;

 private:
  Change hear(Node& node);
  void forgive_own_absence(Clock::TimePoint now);

  // constant after construction
  const Clock& clock_;
  const NodeTimeouts timeouts_;
  // zio thread
  std::vector<Node> nodes_;  // [n_nodes], by NodeId
  Clock::TimePoint last_expire_;
};

}  // namespace lockstep
