#include "coordinator/node_table.h"

#include <algorithm>

namespace lockstep {

bool Node::serves(const std::string& model) const {
  return std::any_of(welcome.models.begin(), welcome.models.end(),
                     [&](const wire::ModelInfo& info) { return info.id == model; });
}

const char* state_name(const Node& node) {
  switch (node.state) {
    case NodeState::kConnecting:
      return "connecting";
    case NodeState::kReady:
      return node.load.draining ? "draining" : "ready";
    case NodeState::kSuspect:
      return "suspect";
    case NodeState::kDead:
      break;
  }
  return "dead";
}

NodeTable::NodeTable(const std::vector<std::string>& endpoints, const Clock& clock,
                     NodeTimeouts timeouts)
    : clock_(clock), timeouts_(timeouts), last_expire_(clock.now()) {
  for (const std::string& endpoint : endpoints) {
    Node node;
    node.id = NodeId{static_cast<uint32_t>(nodes_.size())};
    node.endpoint = endpoint;
    nodes_.push_back(std::move(node));
  }
}

NodeTable::Change NodeTable::on_welcome(NodeId id, const wire::Welcome& welcome) {
  Node& node = nodes_[raw(id)];
  const bool had_streams = node.is_present();
  const bool is_new_epoch = node.welcome.epoch != welcome.epoch;
  const bool was_ready = node.state == NodeState::kReady;
  if (is_new_epoch) node.load = {};
  node.welcome = welcome;
  node.heard = clock_.now();
  node.state = NodeState::kReady;
  if (had_streams && (is_new_epoch || welcome.new_peer)) return Change::kRestarted;
  return was_ready ? Change::kNone : Change::kReady;
}

// A node greets only who said hello, so a heartbeat of a foreign epoch means that it restarted and
// another hello crossed it; the welcome follows.
NodeTable::Change NodeTable::on_heartbeat(NodeId id, const wire::Heartbeat& heartbeat) {
  Node& node = nodes_[raw(id)];
  if (!node.is_present()) return Change::kNone;
  if (heartbeat.epoch != node.welcome.epoch) {
    node.state = NodeState::kConnecting;
    node.load = {};
    return Change::kLost;
  }
  node.load = heartbeat;
  return hear(node);
}

NodeTable::Change NodeTable::on_other_message(NodeId id) {
  Node& node = nodes_[raw(id)];
  return node.is_present() ? hear(node) : Change::kNone;
}

NodeTable::Change NodeTable::hear(Node& node) {
  node.heard = clock_.now();
  if (node.state != NodeState::kSuspect) return Change::kNone;
  node.state = NodeState::kReady;
  return Change::kReady;
}

void NodeTable::forgive_own_absence(Clock::TimePoint now) {
  const auto uncounted = now - last_expire_ - timeouts_.suspect / 2;
  last_expire_ = now;
  if (uncounted <= Clock::TimePoint::duration::zero()) return;
  for (Node& node : nodes_) node.heard = std::min(node.heard + uncounted, now);
}

std::vector<NodeId> NodeTable::expire() {
  const Clock::TimePoint now = clock_.now();
  forgive_own_absence(now);
  std::vector<NodeId> died;
  for (Node& node : nodes_) {
    if (!node.is_present()) continue;
    const auto silence = now - node.heard;
    if (silence >= timeouts_.dead) {
      node.state = NodeState::kDead;
      died.push_back(node.id);
    } else if (silence >= timeouts_.suspect) {
      node.state = NodeState::kSuspect;
    }
  }
  return died;
}

std::vector<NodeId> NodeTable::due_for_hello() const {
  std::vector<NodeId> due;
  for (const Node& node : nodes_) {
    if (node.state == NodeState::kReady) continue;
    if (node.greeted && clock_.now() - *node.greeted < timeouts_.hello_interval) continue;
    due.push_back(node.id);
  }
  return due;
}

bool NodeTable::knows_model(const std::string& model) const {
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [&](const Node& n) { return n.is_present() && n.serves(model); });
}

const std::string* NodeTable::default_model() const {
  for (const Node& node : nodes_) {
    if (node.is_present() && !node.welcome.models.empty()) return &node.welcome.models.front().id;
  }
  return nullptr;
}

std::vector<wire::ModelInfo> NodeTable::models() const {
  std::vector<wire::ModelInfo> models;
  for (const Node& node : nodes_) {
    if (!node.is_present()) continue;
    for (const wire::ModelInfo& info : node.welcome.models) {
      const bool known = std::any_of(models.begin(), models.end(),
                                     [&](const auto& other) { return other.id == info.id; });
      if (!known) models.push_back(info);
    }
  }
  return models;
}

}  // namespace lockstep
