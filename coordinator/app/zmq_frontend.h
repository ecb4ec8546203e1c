// ZmqFrontend: runs the coordinator's I/O thread. "I/O thread" means: the one thread that owns all
// of the coordinator's ZeroMQ sockets, namely the ROUTER for clients and one DEALER per node. The
// node table, the forwarder and the dispatcher are used on that thread only. The HTTP server is one
// more kind of client: submit() and drop_client() pass its messages to the I/O thread from any
// thread, and a ReplySink receives the replies on the I/O thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/clock.h"
#include "common/result.h"
#include "common/threads/completions.h"
#include "coordinator/app/zmq_frontend_config.h"
#include "coordinator/cluster/cluster_view.h"
#include "coordinator/cluster/fingerprint_watch.h"
#include "coordinator/cluster/node_table.h"
#include "coordinator/cluster/unreached_nodes.h"
#include "coordinator/index/kv_links.h"
#include "coordinator/probes.h"
#include "coordinator/prompts/prompt_encoder.h"
#include "coordinator/prompts/text_models.h"
#include "coordinator/requests/cluster_client.h"
#include "coordinator/requests/forwarder.h"
#include "coordinator/requests/request_dispatcher.h"
#include "node/text/prompt/text_worker.h"
#include "wire/zmq/zmq_loop.h"

namespace lockstep {

class ZmqFrontend final : public ClusterClient, private NodeLinks {
 public:
  static Result<std::unique_ptr<ZmqFrontend>> make(ZmqFrontendConfig config,
                                                   CoordinatorProbes& probes, const Clock& clock);
  ~ZmqFrontend() override;

  void start();
  // Refuses new requests from now on; running requests continue.
  void begin_drain();
  // Cancels all running requests, at their nodes too. Each client gets the final message.
  void end_everything();
  // Calls end_everything(), then ends the I/O thread and releases every ReplySink. Nothing may be
  // submitted afterwards.
  void stop();

  bool submit(Client client, wire::Message message) override;
  bool submit(Client client, std::vector<wire::Generate> prompts,
              std::string required_fingerprint) override;
  void drop_client(std::string client_key) override;
  std::shared_ptr<const ClusterView> view() const override;
  const ResumeTokens& resume_tokens() const override { return resume_tokens_; }
  // How well the prefix index follows each node. [n_nodes], by NodeId. Any thread.
  std::vector<NodeKvStatus> kv_status() const { return kv_links_.status(); }
  // The latest routing decisions about a request. Any thread.
  std::vector<RouteDecision> routes_of(std::string_view request_id) const {
    return route_log_.find(request_id);
  }
  // started(): the I/O thread has begun its work. alive(): it has run its timer within the last
  // kHungAfter, or has not begun yet. Any thread.
  bool started() const { return last_tick_.load() != Clock::TimePoint{}; }
  bool alive() const { return !started() || clock_.now() - last_tick_.load() < kHungAfter; }
  // The endpoint for clients, with the port in use.
  const std::string& zmq_endpoint() const { return zmq_endpoint_; }

 private:
  struct Prompts {
    std::vector<wire::Generate> prompts;
    std::string required_fingerprint;
  };
  struct Command {
    Client client;
    // monostate: the client disconnected
    std::variant<std::monostate, wire::Message, Prompts> content;
  };
  class ZmqReplySink;
  static constexpr std::chrono::seconds kHungAfter{5};

  ZmqFrontend(ZmqFrontendConfig config, CoordinatorProbes& probes, const Clock& clock);
  Status open_sockets();
  bool post(Command command);
  bool send(NodeId node, const wire::Message& message) override;
  bool send_encoded(NodeId node, std::string_view bytes) override;
  void on_node_bytes(NodeId node, wire::Incoming& incoming);
  void on_unreadable(NodeId node, const wire::Incoming& incoming, const Error& error);
  void on_client_bytes(wire::Incoming& incoming);
  void reply(const std::string& peer, const wire::Message& message);
  void apply(NodeId node, NodeTable::Change change);
  void follow_kv_events(NodeId node);
  void drain_inbox();
  void drop_unreachable();
  void tick();
  ClusterView present_view() const;
  // Does nothing when the view would not change.
  void publish_changes();
  void publish_membership();

  // owner's thread
  bool running_ = false;
  // constant after start()
  const ZmqFrontendConfig config_;
  const ResumeTokens resume_tokens_;
  CoordinatorProbes& probes_;
  const Clock& clock_;
  std::string zmq_endpoint_;
  RouteLog route_log_;
  // I/O thread; the owner's thread while the I/O thread does not run
  wire::Context context_;
  NodeTable nodes_;
  KvLinks kv_links_;
  Completions completions_;
  TextWorker text_worker_;
  TextModels text_models_;
  PromptEncoder prompt_encoder_;
  Forwarder forwarder_;
  RequestDispatcher dispatcher_;
  std::vector<wire::ZmqLoop::SocketId> node_sockets_;  // [n_nodes]
  std::optional<wire::ZmqLoop::SocketId> client_socket_;
  // Keys of clients to drop once the present message has been handled.
  std::vector<std::string> unreachable_;
  FingerprintWatch fingerprints_;
  UnreachedNodes unreached_;
  uint64_t published_version_ = 0;     // the node table's version() in view_
  uint64_t published_membership_ = 0;  // its membership() in the log and the gauges
  std::atomic<bool> draining_{false};
  std::atomic<Clock::TimePoint> last_tick_{Clock::TimePoint{}};
  // guarded by mutex_
  mutable std::mutex mutex_;
  std::vector<Command> inbox_;
  std::shared_ptr<const ClusterView> view_;
  wire::ZmqLoop loop_;  // last: its thread uses all of the above
};

}  // namespace lockstep
