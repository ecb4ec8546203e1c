// NodeTable: which nodes there are, what they said last and whether they live. Pure bookkeeping
// over an injected clock; sends nothing. I/O thread only (it owns all ZeroMQ sockets).
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
// A ready node is stalled while it has work and its heartbeats show no progress. Heartbeats are
// counted, not time: none come from a process that is stopped, and those that waited while we were
// stopped each bring their own counters.
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
#include "coordinator/cluster/model_groups.h"
#include "coordinator/cluster/node.h"
#include "wire/messages.h"

namespace lockstep {

struct NodeTimeouts {
  std::chrono::milliseconds suspect{750};
  std::chrono::milliseconds dead{2000};
  std::chrono::milliseconds hello_interval{250};
  // Heartbeats in a row in which a node with work shows no progress, until it counts as stalled.
  uint32_t stalled_heartbeats = 16;
  // The same for a node that tells its finished steps only: one step may take minutes.
  uint32_t stalled_heartbeats_by_step = 600;
};

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
    kStalled,    // it has work and does not get on with it: others get the new work
    kForeign,    // it speaks another version of the protocol: no work; told once
  };
  Change on_welcome(NodeId id, const wire::Welcome& welcome);
  Change on_heartbeat(NodeId id, const wire::Heartbeat& heartbeat);
  Change on_other_message(NodeId id);

  // Nodes that were declared dead since the last call; moves the quiet ones on. To be called often
  // in `timeouts.suspect`.
  std::vector<NodeId> expire();
  // Nodes to greet now.
  std::vector<NodeId> due_for_hello() const;
  void on_hello_sent(NodeId id) { entries_[raw(id)].greeted = clock_.now(); }

  const NodeList& nodes() const { return nodes_; }
  const Node& node(NodeId id) const { return *nodes_[raw(id)]; }
  // What the nodes that are present serve, by model and fingerprint.
  const ModelGroups& groups() const { return *groups_; }
  const std::shared_ptr<const ModelGroups>& shared_groups() const { return groups_; }
  bool knows_model(const std::string& model) const;
  // The first model of the first node that is present; nullptr when there is none.
  const std::string* default_model() const;

  // Grows with every change of a Node, heartbeats that say something new included.
  uint64_t version() const { return version_; }
  // Grows when a node's state, welcome, or readiness for work changes.
  uint64_t membership() const { return membership_; }

 private:
  struct Entry {
    Clock::TimePoint heard;  // last message of the present epoch; later by our own absences
    std::optional<Clock::TimePoint> greeted;
    uint32_t n_still = 0;         // heartbeats in a row without progress
    int64_t foreign_version = 0;  // of its last welcome, if we do not speak it
  };

  Node& edit(NodeId id);
  void membership_changed();
  Change on_foreign_welcome(NodeId id, const wire::Welcome& welcome);
  bool is_stalled(NodeId id, const wire::Heartbeat& heartbeat);
  Change hear(NodeId id);
  void forgive_own_absence(Clock::TimePoint now);

  // constant after construction
  const Clock& clock_;
  const NodeTimeouts timeouts_;
  // I/O thread
  NodeList nodes_;              // replaced one by one; never changed in place once they are shared
  std::vector<Entry> entries_;  // [n_nodes], by NodeId
  std::shared_ptr<const ModelGroups> groups_ = std::make_shared<const ModelGroups>();
  uint64_t version_ = 0;
  uint64_t membership_ = 0;
  uint64_t n_joined_ = 0;
  Clock::TimePoint last_expire_;
};

}  // namespace lockstep
