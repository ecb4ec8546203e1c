// Node: what the coordinator knows about one node at one moment. A Node is immutable once it is in
// a NodeList; the node table replaces it when something changes. Any thread may read a NodeList.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/ids.h"
#include "wire/messages.h"

namespace lockstep {

enum class NodeState { kConnecting, kReady, kSuspect, kDead };

struct Node {
  NodeId id{};
  std::string endpoint;
  NodeState state = NodeState::kConnecting;
  // Never null; meaningful once the node has been kReady.
  std::shared_ptr<const wire::Welcome> welcome = std::make_shared<const wire::Welcome>();
  wire::Heartbeat load;  // the last heartbeat; all counters are zero before the first
  // The node has work and sends heartbeats, but neither their `step` nor their `progress` grows.
  bool stalled = false;
  uint64_t joined = 0;  // position in the order in which nodes joined; a restart joins anew

  // Returns nullptr when the node does not serve `model`.
  const wire::ModelInfo* find_model(const std::string& model) const;
  bool serves(const std::string& model) const { return find_model(model) != nullptr; }
  bool is_present() const { return state == NodeState::kReady || state == NodeState::kSuspect; }
  // Present and not draining. Suspect and stalled nodes count, because there may be no other node.
  bool takes_work() const { return is_present() && !load.draining; }
  // Preferred over the other nodes that take work.
  bool is_ready() const { return state == NodeState::kReady && !load.draining && !stalled; }
};

using NodeList = std::vector<std::shared_ptr<const Node>>;  // [n_nodes], by NodeId

// "connecting", "ready", "stalled", "suspect", "dead", "draining"
const char* state_name(const Node& node);

}  // namespace lockstep
