// NodeTable: owns the coordinator's record of each node: its last welcome and heartbeat, and its
// state. Pure bookkeeping over an injected clock; sends nothing. I/O thread only: the thread that
// owns all ZeroMQ sockets.
//
//                  welcome                    silent 750 ms            silent 2 s
//   kConnecting ───────────────► kReady ───────────────────► kSuspect ───────────► kDead
//                                  ▲   any message of its epoch │                    │
//                                  ├────────────────────────────┘                    │
//                                  └──────────────────── welcome ────────────────────┘
//
// Disconnect: a connection that breaks makes a present node kConnecting at once. A process that was
// killed is noticed in this way; silence is how a lost host or a stopped process is noticed.
//
// Hello: the coordinator sends a hello to every node that is not kReady, every `hello_interval`.
//
// Restart: a welcome or heartbeat with another epoch, or tokens of a later one, mean that the node
// restarted. A welcome with `new_peer` means that the connection to the node broke in between. In
// both cases the node's streams for this coordinator are lost.
//
// Stall: a ready node is stalled while it has work and its heartbeats show no progress. The table
// counts heartbeats, not time: a stopped node process sends none, and heartbeats that waited while
// the coordinator was stopped each carry their own counters.
//
// Silence: a node's silence grows between two calls of expire(), by at most half of the suspect
// timeout per call. If the I/O thread itself was away for longer, the nodes' messages of that time
// are still unread, so the time does not count as silence of the nodes.
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
  // A node with work is stalled after this many heartbeats in a row without progress.
  uint32_t stalled_heartbeats = 16;
  // The same limit for a node that reports finished steps only: one step may take minutes.
  uint32_t stalled_heartbeats_by_step = 600;
};

class NodeTable {
 public:
  NodeTable(const std::vector<std::string>& endpoints, const Clock& clock,
            NodeTimeouts timeouts = {});

  // What changed because of a message from a node.
  enum class Change {
    kNone,
    kReady,      // the node may get work now
    kRestarted,  // a new epoch or connection: as kReady, and all streams of the old one are lost
    kLost,       // the node restarted or was disconnected, and its welcome is still to come:
                 // streams lost, no new work
    kStalled,    // the node has work and makes no progress: new work goes to other nodes
    kForeign,    // the node uses another protocol version: no work; returned once
  };
  Change on_welcome(NodeId id, const wire::Welcome& welcome);
  Change on_heartbeat(NodeId id, const wire::Heartbeat& heartbeat);
  // `epoch`: that of the tokens. Messages without an epoch say nothing about a node: a process
  // that restarted may have sent them.
  Change on_tokens(NodeId id, uint64_t epoch);
  // The connection to the node broke. The node cancels the streams of a connection that broke, so
  // they are lost whether or not the process still runs.
  Change on_disconnected(NodeId id);

  // Moves silent nodes to kSuspect and kDead, and returns those that became dead. Must be called
  // several times per `timeouts.suspect`.
  std::vector<NodeId> expire();
  // Nodes that a hello has to be sent to now.
  std::vector<NodeId> due_for_hello() const;
  void on_hello_sent(NodeId id) { entries_[raw(id)].last_hello = clock_.now(); }

  const NodeList& nodes() const { return nodes_; }
  const Node& node(NodeId id) const { return *nodes_[raw(id)]; }
  // The nodes that are present, grouped by model and fingerprint.
  const ModelGroups& groups() const { return *groups_; }
  const std::shared_ptr<const ModelGroups>& shared_groups() const { return groups_; }
  bool knows_model(const std::string& model) const;
  // The first model of the first node that is present; nullptr when no node is present.
  const std::string* default_model() const;

  // Nodes that were given up as dead for their silence and came back as the same process.
  uint64_t n_false_deaths() const { return n_false_deaths_; }

  // Grows with every change of a Node, including a heartbeat whose values differ from the last.
  uint64_t version() const { return version_; }
  // Grows when a node's state, welcome, or readiness for work changes.
  uint64_t membership() const { return membership_; }

 private:
  struct Entry {
    // Time of the last message of the present epoch, moved on by the I/O thread's own absences.
    Clock::TimePoint last_message;
    std::optional<Clock::TimePoint> last_hello;  // time of the last hello
    uint32_t n_still = 0;                        // heartbeats in a row without progress
    int64_t foreign_version = 0;  // version of the last welcome, if it is not a supported one
  };

  Node& edit(NodeId id);
  void membership_changed();
  Change on_foreign_welcome(NodeId id, const wire::Welcome& welcome);
  Change lose(NodeId id);
  bool is_stalled(NodeId id, const wire::Heartbeat& heartbeat);
  Change record_message(NodeId id);
  void discount_own_pause(Clock::TimePoint now);

  // constant after construction
  const Clock& clock_;
  const NodeTimeouts timeouts_;
  // I/O thread
  NodeList nodes_;              // an entry is replaced, never changed in place once it is shared
  std::vector<Entry> entries_;  // [n_nodes], by NodeId
  std::shared_ptr<const ModelGroups> groups_ = std::make_shared<const ModelGroups>();
  uint64_t version_ = 0;
  uint64_t membership_ = 0;
  uint64_t n_joined_ = 0;
  uint64_t n_false_deaths_ = 0;
  Clock::TimePoint last_expire_;
};

}  // namespace lockstep
