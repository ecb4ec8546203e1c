// ZmqFrontend: the coordinator's I/O thread. Owns every ZeroMQ socket (the ROUTER that clients talk
// to, one DEALER per node), the node table and the forwarder; all of them are used on that thread
// only. HTTP reaches it as one more kind of client: submit() and drop_client() hand messages over,
// a ReplySink takes the answers.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "common/clock.h"
#include "common/result.h"
#include "coordinator/app/zmq_frontend_config.h"
#include "coordinator/cluster/cluster_view.h"
#include "coordinator/cluster/fingerprint_watch.h"
#include "coordinator/cluster/node_table.h"
#include "coordinator/cluster/unreached_nodes.h"
#include "coordinator/probes.h"
#include "coordinator/requests/cluster_client.h"
#include "coordinator/requests/forwarder.h"
#include "coordinator/requests/request_dispatcher.h"
#include "wire/zmq/zmq_loop.h"

namespace lockstep {

class ZmqFrontend final : public ClusterClient, private NodeLinks {
 public:
  static Result<std::unique_ptr<ZmqFrontend>> make(ZmqFrontendConfig config,
                                                   CoordinatorProbes& probes, const Clock& clock);
  ~ZmqFrontend() override;

  void start();
  // Refuses new requests; what runs goes on.
  void begin_drain();
  // Cancels what runs, at its nodes too, and says so to whoever waits for it.
  void end_everything();
  // Ends everything, then the thread; every ReplySink is let go of. Nothing may be submitted from
  // then on.
  void stop();

  bool submit(Client client, wire::Message message) override;
  bool submit(Client client, std::vector<wire::Generate> prompts) override;
  void drop_client(std::string client_key) override;
  std::shared_ptr<const ClusterView> view() const override;
  // Any thread. The I/O thread has begun its work; it was at it within the last kHungAfter.
  bool started() const { return last_tick_.load() != Clock::TimePoint{}; }
  bool alive() const { return !started() || clock_.now() - last_tick_.load() < kHungAfter; }
  // The endpoint that clients use, with the real port.
  const std::string& zmq_endpoint() const { return zmq_endpoint_; }

 private:
  struct Command {
    Client client;
    // monostate: the client is gone
    std::variant<std::monostate, wire::Message, std::vector<wire::Generate>> said;
  };
  class FrontSink;
  static constexpr std::chrono::seconds kHungAfter{5};

  ZmqFrontend(ZmqFrontendConfig config, CoordinatorProbes& probes, const Clock& clock);
  Status open_sockets();
  bool post(Command command);
  bool send(NodeId node, const wire::Message& message) override;
  void on_node_bytes(NodeId node, wire::Incoming& incoming);
  void on_unreadable(NodeId node, const wire::Incoming& incoming, const Error& error);
  void on_client_bytes(wire::Incoming& incoming);
  void reply(const std::string& peer, const wire::Message& message);
  void apply(NodeId node, NodeTable::Change change);
  void drain_inbox();
  void drop_unreachable();
  void tick();
  ClusterView present_view() const;
  // Does nothing when the view would be the same.
  void publish_changes();
  void publish_membership();

  // owner's thread
  bool running_ = false;
  // constant after start()
  const ZmqFrontendConfig config_;
  CoordinatorProbes& probes_;
  const Clock& clock_;
  std::string zmq_endpoint_;
  // I/O thread; the owner's when there is none
  wire::Context context_;
  NodeTable nodes_;
  Forwarder forwarder_;
  RequestDispatcher dispatcher_;
  std::vector<wire::ZmqLoop::SocketId> node_sockets_;  // [n_nodes]
  std::optional<wire::ZmqLoop::SocketId> front_;
  std::vector<std::string> unreachable_;  // client keys to drop when the present message is done
  FingerprintWatch fingerprints_;
  UnreachedNodes unreached_;
  uint64_t published_version_ = 0;     // of the node table, as view_ has it
  uint64_t published_membership_ = 0;  // as the log and the gauges have it
  std::atomic<bool> draining_{false};
  std::atomic<Clock::TimePoint> last_tick_{Clock::TimePoint{}};
  // guarded by mutex_
  mutable std::mutex mutex_;
  std::vector<Command> inbox_;
  std::shared_ptr<const ClusterView> view_;
  wire::ZmqLoop loop_;  // last: its thread uses all of the above
};

}  // namespace lockstep
