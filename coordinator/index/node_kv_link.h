// NodeKvLink: owns a NodeKvMirror and the sockets that feed it: a SUB for the node's live events,
// and a DEALER for each request for a replay or a snapshot, which is closed with the end of the
// answer. The sockets belong to the loop. I/O thread only.
#pragma once

#include <optional>
#include <string>

#include "coordinator/index/node_kv_mirror.h"
#include "coordinator/index/node_kv_status.h"
#include "wire/messages.h"
#include "wire/zmq/zmq_loop.h"

namespace lockstep {

// What the links of all nodes share. Each must outlive them, but for the loop: it may end first.
struct KvLinkParts {
  KvBlockIndex& index;
  wire::Context& context;
  wire::ZmqLoop& loop;
  const Clock& clock;
};

class NodeKvLink {
 public:
  // `endpoint`: that of the node in the coordinator's settings.
  NodeKvLink(std::string endpoint, const KvLinkParts& parts);
  NodeKvLink(const NodeKvLink&) = delete;  // the sockets' handlers hold its address
  NodeKvLink& operator=(const NodeKvLink&) = delete;

  // The node is present with this welcome, or (null) is not. Another epoch begins anew; a call
  // with the present one has no effect. A node that publishes no events is not followed.
  void follow(const wire::Welcome* welcome);
  // Heartbeats of another epoch than the last welcome's are ignored.
  void on_heartbeat(const wire::Heartbeat& heartbeat);
  // Sends what is due. To be called every 100 ms or so.
  void poll();

  const std::string& endpoint() const { return endpoint_; }
  const NodeKvMirror& mirror() const { return mirror_; }
  NodeKvStatus status() const;

 private:
  void start(const wire::Welcome& welcome);
  void stop();
  void on_live(const wire::Incoming& incoming);
  void on_answer(uint64_t request_id, const wire::Incoming& incoming);
  void send(const KvRequest& request);
  void close(std::optional<wire::ZmqLoop::SocketId>& socket);

  const std::string endpoint_;
  const KvLinkParts parts_;
  NodeKvMirror mirror_;
  std::optional<uint64_t> epoch_;  // of the present welcome
  std::string replay_endpoint_;
  std::optional<wire::ZmqLoop::SocketId> live_, replay_;
  bool warned_of_slots_ = false, warned_of_endpoints_ = false;
};

}  // namespace lockstep
