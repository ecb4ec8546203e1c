// NodeServer: a node on the wire. It owns the ROUTER, the one thread that uses it, and everything
// that thread calls. That thread is the node's I/O thread. A peer is a coordinator (it sent hello,
// and receives heartbeats and tokens in batches) or a plain client; both use the same messages. The
// requests of a peer that is gone are cancelled.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "common/clock.h"
#include "common/result.h"
#include "common/threads/completions.h"
#include "node/service/probes.h"
#include "node/service/requests/event_mailbox.h"
#include "node/service/requests/request_server.h"
#include "node/service/requests/send_queue.h"
#include "node/service/requests/served_model.h"
#include "node/service/requests/text_server.h"
#include "node/service/server/control_server.h"
#include "node/service/server/event_publisher.h"
#include "node/text/prompt/text_worker.h"
#include "wire/zmq/socket.h"
#include "wire/zmq/zmq_loop.h"

namespace lockstep {

struct NodeServerConfig {
  std::string listen;  // "tcp://127.0.0.1:5556"; port 0 = a free one
  std::chrono::milliseconds heartbeat_interval{250};
  std::string events, events_replay;  // endpoints, if the model has block events
  size_t max_long_prompts = 64;       // long prompts at the TextWorker, waiting or running
  size_t max_tasks = 64;              // tasks of other threads, such as verbs, waiting for the loop
  wire::SocketOptions socket;
};

class NodeServer {
 public:
  // Listens. Model, mailbox, probes and clock must outlive the server. The engine must write its
  // events to `mailbox`.
  static Result<std::unique_ptr<NodeServer>> make(const ServedModel& model, EventMailbox& mailbox,
                                                  NodeProbes& probes, const Clock& clock,
                                                  const NodeServerConfig& config);
  ~NodeServer();  // stop(); the engine must have stopped

  // Call before the engine starts.
  void start();
  // Refuses new requests and finishes the running ones. Any thread.
  void drain();
  // True after drain() once every final message has been handed to ZeroMQ. Any thread.
  bool drained() const { return drained_; }
  // False if the loop has not turned for seconds. Any thread.
  bool is_alive() const;
  void stop();

  // The control verbs: what an operator requests from a running node, here by way of the admin
  // port. Any thread. The engine answers between two turns (node/engine/core/engine_core.h); the
  // reply then runs on the I/O thread, or at once on the caller's thread if the verb cannot be
  // posted to the loop. The reply never runs if the node stops before.
  void clear(const wire::ClearKvCache& ask,
             const ControlServer::Reply<wire::KvCacheCleared>& reply);
  void slots(const wire::SlotsRequest& ask, const ControlServer::Reply<wire::SlotList>& reply);
  wire::Description describe() const { return control_.describe(""); }

  const std::string& endpoint() const { return endpoint_; }
  // Null if block events are not published.
  const EventPublisher* events() const { return events_.get(); }

 private:
  NodeServer(const ServedModel& model, EventMailbox& mailbox, NodeProbes& probes,
             const Clock& clock, const NodeServerConfig& config);

  Status listen();
  Status listen_for_events();
  void on_message(const wire::Incoming& incoming);
  void on_outputs();
  void on_tick();
  void send_heartbeats();
  void reap_lost_peers();
  void log_load();  // one line per second while the node is busy
  void refuse(const std::string& peer, const std::string& request_id, const Error& error);
  wire::Heartbeat heartbeat() const;
  template <class Answer>
  ControlServer::Reply<Answer> answer(const std::string& peer, const std::string& request_id);

  // One handler for each message that a node accepts; the last one refuses all others.
  void handle(const std::string& peer, wire::Generate& message);
  void handle(const std::string& peer, wire::Cancel& message);
  void handle(const std::string& peer, wire::Tokenize& message);
  void handle(const std::string& peer, wire::Detokenize& message);
  void handle(const std::string& peer, wire::StatusRequest& message);
  void handle(const std::string& peer, wire::ModelsRequest& message);
  void handle(const std::string& peer, wire::Hello& message);
  void handle(const std::string& peer, wire::ClearKvCache& message);
  void handle(const std::string& peer, wire::SlotsRequest& message);
  void handle(const std::string& peer, wire::DescribeRequest& message);
  void handle(const std::string& peer, wire::DescribeText& message);
  void handle(const std::string&, wire::ErrorReply&) {
  }  // never answered, or two programs could exchange errors forever
  template <class M>
  void handle(const std::string& peer, M& message);

  // constant after listen()
  const ServedModel& model_;
  EventMailbox& mailbox_;
  NodeProbes& probes_;
  const NodeServerConfig config_;
  std::string endpoint_;
  wire::ZmqLoop::SocketId socket_{};
  // any thread
  std::atomic<bool> drained_{false};
  std::atomic<std::chrono::steady_clock::duration> last_tick_;
  // I/O thread
  std::set<std::string> coordinators_;
  uint64_t n_steps_logged_ = 0;
  StepOutputs outputs_;
  wire::Context context_;
  wire::ZmqLoop loop_;
  Completions completions_;
  SendQueue send_queue_;
  TextWorker worker_;
  TextServer texts_;
  RequestServer requests_;
  ControlServer control_;
  std::unique_ptr<EventPublisher> events_;  // or null
};

}  // namespace lockstep
