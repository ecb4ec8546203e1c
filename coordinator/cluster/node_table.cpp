#include "coordinator/cluster/node_table.h"

#include <algorithm>

namespace lockstep {

NodeTable::NodeTable(const std::vector<std::string>& endpoints, const Clock& clock,
                     NodeTimeouts timeouts)
    : clock_(clock), timeouts_(timeouts), entries_(endpoints.size()), last_expire_(clock.now()) {
  for (const std::string& endpoint : endpoints) {
    auto node = std::make_shared<Node>();
    node->id = NodeId{static_cast<uint32_t>(nodes_.size())};
    node->endpoint = endpoint;
    nodes_.push_back(std::move(node));
  }
}

// Replaces the node by a copy and returns the copy, which the caller may change until the next view
// is published.
Node& NodeTable::edit(NodeId id) {
  auto copy = std::make_shared<Node>(*nodes_[raw(id)]);
  Node& node = *copy;
  nodes_[raw(id)] = std::move(copy);
  ++version_;
  return node;
}

void NodeTable::membership_changed() {
  ++membership_;
  groups_ = std::make_shared<const ModelGroups>(group_by_fingerprint(nodes_));
}

NodeTable::Change NodeTable::on_welcome(NodeId id, const wire::Welcome& welcome) {
  if (welcome.version != wire::kProtocolVersion) return on_foreign_welcome(id, welcome);
  const bool was_present = node(id).is_present();
  const bool is_new_epoch = node(id).welcome->epoch != welcome.epoch;
  const bool was_ready = node(id).state == NodeState::kReady;
  if (node(id).state == NodeState::kDead && !is_new_epoch) ++n_false_deaths_;
  Entry& entry = entries_[raw(id)];
  entry.last_message = clock_.now();
  entry.foreign_version = 0;
  Node& node = edit(id);
  if (is_new_epoch) {
    node.load = {};
    node.stalled = false;
    entry.n_still = 0;
  }
  if (is_new_epoch || !was_present) node.joined = ++n_joined_;
  node.welcome = std::make_shared<const wire::Welcome>(welcome);
  node.state = NodeState::kReady;
  membership_changed();
  if (was_present && (is_new_epoch || welcome.new_peer)) return Change::kRestarted;
  return was_ready ? Change::kNone : Change::kReady;
}

// The node stays due for a hello, because a process with a supported version may replace it.
NodeTable::Change NodeTable::on_foreign_welcome(NodeId id, const wire::Welcome& welcome) {
  if (entries_[raw(id)].foreign_version == welcome.version) return Change::kNone;
  entries_[raw(id)].foreign_version = welcome.version;
  Node& node = edit(id);
  node.state = NodeState::kConnecting;
  node.load = {};
  membership_changed();
  return Change::kForeign;
}

// A node sends heartbeats only after a hello. A heartbeat with another epoch therefore means that
// the node restarted and has received a hello that was already on its way; the welcome follows.
NodeTable::Change NodeTable::on_heartbeat(NodeId id, const wire::Heartbeat& heartbeat) {
  if (!node(id).is_present()) return Change::kNone;
  if (heartbeat.epoch != node(id).welcome->epoch) return lose(id);
  const bool was_stalled = node(id).stalled;
  const bool was_draining = node(id).load.draining;
  const bool stalled = is_stalled(id, heartbeat);
  if (!(node(id).load == heartbeat) || stalled != was_stalled) {
    Node& node = edit(id);
    node.load = heartbeat;
    node.stalled = stalled;
  }
  if (stalled != was_stalled || heartbeat.draining != was_draining) membership_changed();
  const Change change = record_message(id);
  if (stalled == was_stalled) return change;
  return stalled ? Change::kStalled : Change::kReady;
}

bool NodeTable::is_stalled(NodeId id, const wire::Heartbeat& heartbeat) {
  const wire::Heartbeat& last = node(id).load;
  const bool has_work = heartbeat.n_running + heartbeat.n_waiting > 0;
  const bool moved = heartbeat.step != last.step || heartbeat.progress != last.progress;
  uint32_t& n_still = entries_[raw(id)].n_still;
  n_still = has_work && !moved ? n_still + 1 : 0;
  return n_still >= (heartbeat.progress != 0 ? timeouts_.stalled_heartbeats
                                             : timeouts_.stalled_heartbeats_by_step);
}

// A node that restarted may have received a request before any hello. Tokens of an earlier epoch
// are what is left of a connection that broke; epochs grow with the time of a node's start.
NodeTable::Change NodeTable::on_tokens(NodeId id, uint64_t epoch) {
  if (!node(id).is_present() || epoch < node(id).welcome->epoch) return Change::kNone;
  return epoch == node(id).welcome->epoch ? record_message(id) : lose(id);
}

NodeTable::Change NodeTable::on_disconnected(NodeId id) {
  return node(id).is_present() ? lose(id) : Change::kNone;
}

NodeTable::Change NodeTable::lose(NodeId id) {
  Node& node = edit(id);
  node.state = NodeState::kConnecting;
  node.load = {};
  membership_changed();
  return Change::kLost;
}

NodeTable::Change NodeTable::record_message(NodeId id) {
  entries_[raw(id)].last_message = clock_.now();
  if (node(id).state != NodeState::kSuspect) return Change::kNone;
  edit(id).state = NodeState::kReady;
  membership_changed();
  return Change::kReady;
}

void NodeTable::discount_own_pause(Clock::TimePoint now) {
  const auto uncounted = now - last_expire_ - timeouts_.suspect / 2;
  last_expire_ = now;
  if (uncounted <= Clock::TimePoint::duration::zero()) return;
  for (Entry& entry : entries_) entry.last_message = std::min(entry.last_message + uncounted, now);
}

std::vector<NodeId> NodeTable::expire() {
  const Clock::TimePoint now = clock_.now();
  discount_own_pause(now);
  std::vector<NodeId> died;
  bool changed = false;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const NodeId id{static_cast<uint32_t>(i)};
    if (!node(id).is_present()) continue;
    const auto silence = now - entries_[i].last_message;
    NodeState state = node(id).state;
    if (silence >= timeouts_.suspect) state = NodeState::kSuspect;
    if (silence >= timeouts_.dead) state = NodeState::kDead;
    if (state == node(id).state) continue;
    edit(id).state = state;
    changed = true;
    if (state == NodeState::kDead) died.push_back(id);
  }
  if (changed) membership_changed();
  return died;
}

std::vector<NodeId> NodeTable::due_for_hello() const {
  std::vector<NodeId> due;
  for (const auto& node : nodes_) {
    if (node->state == NodeState::kReady) continue;
    const auto& last_hello = entries_[raw(node->id)].last_hello;
    if (last_hello && clock_.now() - *last_hello < timeouts_.hello_interval) continue;
    due.push_back(node->id);
  }
  return due;
}

bool NodeTable::knows_model(const std::string& model) const {
  return find_group(*groups_, model) != nullptr;
}

const std::string* NodeTable::default_model() const {
  return groups_->empty() ? nullptr : &groups_->front().model;
}

}  // namespace lockstep
