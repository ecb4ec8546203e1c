// KvLinks: keeps the KvBlockIndex equal to what the nodes have cached: owns the index and a link to
// each node, calls them every tick, and reports to the metrics. docs/wire-protocol.md, section 6,
// has the protocol. I/O thread only, but for status(). The loop may end before the KvLinks.
#pragma once

#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "common/ids.h"
#include "coordinator/index/kv_block_index.h"
#include "coordinator/index/node_kv_link.h"
#include "coordinator/index/node_kv_status.h"
#include "coordinator/probes.h"
#include "coordinator/route/cached_prefixes.h"

namespace lockstep {

class KvLinks final : public CachedPrefixes {
 public:
  // `endpoints`: of the nodes in the settings, by NodeId. The references must outlive the links,
  // but for the loop.
  KvLinks(const std::vector<std::string>& endpoints, wire::Context& context, wire::ZmqLoop& loop,
          const Clock& clock, CoordinatorProbes& probes);

  // As NodeKvLink.
  void follow(NodeId node, const wire::Welcome* welcome) { links_[raw(node)].follow(welcome); }
  void on_heartbeat(NodeId node, const wire::Heartbeat& heartbeat) {
    links_[raw(node)].on_heartbeat(heartbeat);
  }
  // To be called every 25 ms or so.
  void tick();

  const KvBlockIndex& index() const { return index_; }
  void match(std::span<const uint64_t> chain, std::span<uint32_t> n_blocks) const override;
  bool knows(NodeId node) const override { return slot(node).has_value(); }
  // The slot with the node's blocks; nullopt: nothing is known of the node.
  std::optional<IndexSlot> slot(NodeId node) const { return links_[raw(node)].mirror().slot(); }

  // [n_nodes], by NodeId, at most a few ticks old. Any thread.
  std::vector<NodeKvStatus> status() const;

 private:
  void publish();

  CoordinatorProbes& probes_;
  KvBlockIndex index_;
  std::deque<NodeKvLink> links_;  // [n_nodes], by NodeId; a deque, because links do not move
  uint64_t n_ticks_ = 0;
  mutable std::mutex mutex_;
  std::vector<NodeKvStatus> published_;  // guarded by mutex_; written on the I/O thread only
};

}  // namespace lockstep
