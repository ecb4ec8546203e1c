#include "coordinator/app/zmq_frontend.h"

#include <functional>
#include <future>
#include <random>
#include <thread>
#include <utility>

#include "common/log.h"
#include "wire/codec/codec.h"
#include "wire/codec/scan.h"
#include "wire/codec/sendable.h"

namespace lockstep {
namespace {

constexpr size_t kMaxInbox = 4096;
constexpr size_t kMaxLongPrompts = 64;  // that wait for their ids; more go to the nodes as text
constexpr std::chrono::milliseconds kTick{25};
constexpr std::chrono::milliseconds kCloseLinger{200};  // time to send the cancels of a shutdown

// A node that has not answered for this long is reported as unreached; long enough for a usual
// start.
constexpr std::chrono::milliseconds kUnreached{3000};
constexpr std::chrono::milliseconds kConnectTimeout{2000};

// The thread is detached: a name server may be slow, and the coordinator may end before the task.
void run_on_own_thread(std::function<void()> task) { std::thread(std::move(task)).detach(); }

bool loses_streams(NodeTable::Change change) {
  return change == NodeTable::Change::kRestarted || change == NodeTable::Change::kLost ||
         change == NodeTable::Change::kForeign;
}

// Empty if the message is none of tokens. The tokens of a batch are those of one process.
std::optional<uint64_t> epoch_of_tokens(const wire::Message& message) {
  if (const auto* tokens = std::get_if<wire::Tokens>(&message)) return tokens->epoch;
  const auto* batch = std::get_if<wire::TokensBatch>(&message);
  if (batch == nullptr || batch->items.empty()) return std::nullopt;
  return batch->items.front().epoch;
}

// The prefix keeps the keys of ZeroMQ peers distinct from those of HTTP requests.
std::string key_of_peer(const std::string& peer) { return "zmq:" + peer; }

}  // namespace

// Delivers replies to one client of the ROUTER.
class ZmqFrontend::ZmqReplySink final : public ReplySink {
 public:
  ZmqReplySink(ZmqFrontend& frontend, std::string peer)
      : frontend_(frontend), peer_(std::move(peer)) {}
  void deliver(wire::Message message) override { frontend_.reply(peer_, message); }

 private:
  ZmqFrontend& frontend_;
  const std::string peer_;
};

Result<std::unique_ptr<ZmqFrontend>> ZmqFrontend::make(ZmqFrontendConfig config,
                                                       CoordinatorProbes& probes,
                                                       const Clock& clock) {
  std::unique_ptr<ZmqFrontend> frontend(new ZmqFrontend(std::move(config), probes, clock));
  if (Status opened = frontend->open_sockets(); !opened) return opened.error();
  return frontend;
}

ZmqFrontend::ZmqFrontend(ZmqFrontendConfig config, CoordinatorProbes& probes, const Clock& clock)
    : config_(std::move(config)),
      resume_tokens_(config_.resume_key, probes),
      probes_(probes),
      clock_(clock),
      nodes_(config_.node_endpoints, clock_, config_.timeouts),
      kv_links_(config_.node_endpoints, context_, loop_, clock_, probes_),
      completions_([this] { loop_.wake(); }),
      text_worker_(
          kMaxLongPrompts,
          [this](TextWorker::Finish finish) { completions_.add(std::move(finish)); },
          PromptEncoder::kTenantGroups),
      text_models_(
          nodes_, [this](NodeId node, const wire::Message& message) { return send(node, message); },
          text_worker_, clock_),
      prompt_encoder_(text_models_, text_worker_),
      forwarder_(nodes_,
                 Router({.policy = config_.policy, .seed = std::random_device()()},
                        {.n_nodes = config_.node_endpoints.size(),
                         .clock = clock_,
                         .cached = &kv_links_,
                         .log = &route_log_}),
                 *this, clock_, probes_, config_.forwarder, &prompt_encoder_),
      dispatcher_(forwarder_, resume_tokens_, [this] { return present_view(); }),
      unreached_(
          kUnreached / kTick,
          [](const std::string& endpoint) { return why_unreached(endpoint, kConnectTimeout); },
          run_on_own_thread),
      view_(std::make_shared<ClusterView>()) {}

ZmqFrontend::~ZmqFrontend() { stop(); }

Status ZmqFrontend::open_sockets() {
  for (uint32_t i = 0; i < config_.node_endpoints.size(); ++i) {
    TRY(wire::Socket socket, wire::Socket::make(context_, wire::SocketKind::kDealer));
    if (Status status = socket.connect(config_.node_endpoints[i]); !status) return status.error();
    socket.set_linger(kCloseLinger);
    const NodeId node{i};
    TRY(wire::Socket monitor, socket.watch_disconnects(context_));
    node_sockets_.push_back(loop_.add(
        std::move(socket), [this, node](wire::Incoming& in) { on_node_bytes(node, in); }));
    loop_.add(std::move(monitor),
              [this, node](wire::Incoming&) { apply(node, nodes_.on_disconnected(node)); });
  }
  if (!config_.zmq_endpoint.empty()) {
    TRY(wire::Socket socket, wire::Socket::make(context_, wire::SocketKind::kRouter));
    if (Status status = socket.bind(config_.zmq_endpoint); !status) return status.error();
    socket.set_linger(kCloseLinger);
    zmq_endpoint_ = socket.endpoint();
    client_socket_ =
        loop_.add(std::move(socket), [this](wire::Incoming& in) { on_client_bytes(in); });
  }
  loop_.every(kTick, [this] { tick(); });
  loop_.on_wake([this] {
    completions_.run();
    drop_unreachable();
    drain_inbox();
  });
  view_ = std::make_shared<const ClusterView>(present_view());
  publish_membership();
  return Ok{};
}

void ZmqFrontend::start() {
  running_ = true;
  loop_.start();
}

void ZmqFrontend::begin_drain() {
  draining_ = true;
  loop_.wake();
}

// Runs on the I/O thread, so that the cancels reach the nodes before the sockets close. The wait is
// bounded, so a hung I/O thread does not delay the shutdown.
void ZmqFrontend::end_everything() {
  const auto ended = std::make_shared<std::promise<void>>();
  const bool posted = loop_.post([this, ended] {
    forwarder_.end_everything();
    ended->set_value();
  });
  if (posted && running_) ended->get_future().wait_for(kCloseLinger);
}

void ZmqFrontend::stop() {
  end_everything();
  text_worker_.stop();  // before the loop, which its jobs wake
  loop_.stop();
  forwarder_.end_everything();  // requests that came since the first call
  std::vector<Command> unread;
  std::lock_guard lock(mutex_);
  unread.swap(inbox_);
}

bool ZmqFrontend::submit(Client client, wire::Message message) {
  return post({std::move(client), std::move(message)});
}

bool ZmqFrontend::submit(Client client, std::vector<wire::Generate> prompts,
                         std::string required_fingerprint) {
  return post({std::move(client), Prompts{std::move(prompts), std::move(required_fingerprint)}});
}

bool ZmqFrontend::post(Command command) {
  {
    std::lock_guard lock(mutex_);
    if (inbox_.size() >= kMaxInbox) return false;
    inbox_.push_back(std::move(command));
  }
  loop_.wake();
  return true;
}

// These commands are not bounded: there is at most one for each admitted client.
void ZmqFrontend::drop_client(std::string client_key) {
  {
    std::lock_guard lock(mutex_);
    inbox_.push_back({Client{std::move(client_key), nullptr}, std::monostate()});
  }
  loop_.wake();
}

std::shared_ptr<const ClusterView> ZmqFrontend::view() const {
  std::lock_guard lock(mutex_);
  return view_;
}

bool ZmqFrontend::send(NodeId node, const wire::Message& message) {
  return send_encoded(node, wire::encode(message));
}

bool ZmqFrontend::send_encoded(NodeId node, std::string_view bytes) {
  wire::Socket* socket = loop_.find_socket(node_sockets_[raw(node)]);
  if (socket == nullptr) return false;
  const Result<wire::SendResult> sent = socket->send("", bytes);
  if (!sent) log(LogLevel::kWarning, sent.error().message);
  return sent && *sent == wire::SendResult::kSent;
}

void ZmqFrontend::on_node_bytes(NodeId node, wire::Incoming& incoming) {
  Result<wire::Message> message = wire::decode(incoming.body);
  if (!message) return on_unreadable(node, incoming, message.error());
  if (const auto* welcome = std::get_if<wire::Welcome>(&*message)) {
    apply(node, nodes_.on_welcome(node, *welcome));
  } else if (const auto* heartbeat = std::get_if<wire::Heartbeat>(&*message)) {
    apply(node, nodes_.on_heartbeat(node, *heartbeat));
    kv_links_.on_heartbeat(node, *heartbeat);
    forwarder_.on_heartbeat(node);
    publish_changes();
  } else {
    if (text_models_.on_message(node, *message)) return;
    if (const std::optional<uint64_t> epoch = epoch_of_tokens(*message)) {
      apply(node, nodes_.on_tokens(node, *epoch));
    }
    forwarder_.on_node_message(node, std::move(*message));
    drop_unreachable();
  }
}

void ZmqFrontend::on_unreadable(NodeId node, const wire::Incoming& incoming, const Error& error) {
  log(LogLevel::kWarning, str("node ", nodes_.node(node).endpoint, " sent a message that is ",
                              "not understood: ", error.message));
  forwarder_.on_unreadable(node, std::string(wire::find_request_id(incoming.body)), error);
  drop_unreachable();
}

void ZmqFrontend::apply(NodeId node, NodeTable::Change change) {
  if (change == NodeTable::Change::kNone) return;
  follow_kv_events(node);
  const Node& entry = nodes_.node(node);
  if (change == NodeTable::Change::kForeign)
    log(LogLevel::kWarning, str("node ", entry.endpoint, " speaks another version of the protocol",
                                " than ", wire::kProtocolVersion, " and gets no requests"));
  else
    log(change == NodeTable::Change::kStalled ? LogLevel::kWarning : LogLevel::kInfo,
        str("node ", entry.endpoint, " is ", state_name(entry)));
  publish_changes();  // before the losses are delivered: their clients may read the view at once
  if (loses_streams(change)) forwarder_.on_node_lost(node);
  if (entry.is_present()) forwarder_.on_node_present(node);
  drop_unreachable();
}

void ZmqFrontend::follow_kv_events(NodeId node) {
  const Node& entry = nodes_.node(node);
  kv_links_.follow(node, entry.is_present() ? entry.welcome.get() : nullptr);
}

void ZmqFrontend::on_client_bytes(wire::Incoming& incoming) {
  std::string request_id;
  Result<wire::Message> message = wire::decode(incoming.body, &request_id);
  if (!incoming.single_frame)
    message = Error{ErrorCode::kInvalidRequest, "a message must be one frame", ""};
  if (message) {
    const auto sink = std::make_shared<ZmqReplySink>(*this, incoming.peer);
    dispatcher_.on_message({key_of_peer(incoming.peer), sink}, std::move(*message));
  } else {
    const Error& error = message.error();
    reply(incoming.peer, wire::ErrorReply{request_id, error.code, error.message, error.param});
  }
  drop_unreachable();
}

// A peer that is disconnected, or whose queue is full, gets nothing more. When the socket is
// closed, for example after stop(), the message is dropped.
void ZmqFrontend::reply(const std::string& peer, const wire::Message& message) {
  wire::Socket* socket = loop_.find_socket(*client_socket_);
  if (socket == nullptr) return;
  const Result<wire::SendResult> sent = socket->send(peer, wire::encode_sendable(message));
  if (!sent || *sent != wire::SendResult::kSent) unreachable_.push_back(key_of_peer(peer));
}

// Separate from reply(), because the forwarder is still handling a request when it calls reply().
void ZmqFrontend::drop_unreachable() {
  while (!unreachable_.empty()) {
    const std::vector<std::string> keys = std::exchange(unreachable_, {});
    for (const std::string& key : keys) forwarder_.drop_client(key);
  }
}

void ZmqFrontend::drain_inbox() {
  std::vector<Command> commands;
  {
    std::lock_guard lock(mutex_);
    commands.swap(inbox_);
  }
  if (draining_) forwarder_.begin_drain();
  for (Command& command : commands) {
    if (auto* message = std::get_if<wire::Message>(&command.content))
      dispatcher_.on_message(command.client, std::move(*message));
    else if (auto* request = std::get_if<Prompts>(&command.content))
      forwarder_.submit(command.client, std::move(request->prompts), request->required_fingerprint);
    else
      forwarder_.drop_client(command.client.key);
  }
}

void ZmqFrontend::tick() {
  last_tick_ = clock_.now();
  const std::vector<NodeId> died = nodes_.expire();
  if (!died.empty()) publish_changes();
  for (NodeId node : died) {
    log(LogLevel::kWarning, str("node ", nodes_.node(node).endpoint, " is dead"));
    follow_kv_events(node);
    forwarder_.on_node_lost(node);
  }
  for (NodeId node : nodes_.due_for_hello()) {
    if (send(node, wire::Hello{})) nodes_.on_hello_sent(node);
  }
  for (const std::string& line : unreached_.tick(nodes_.nodes())) log(LogLevel::kWarning, line);
  kv_links_.tick();
  text_models_.tick();
  forwarder_.tick();
  drop_unreachable();
  publish_changes();
}

ClusterView ZmqFrontend::present_view() const {
  return {.nodes = nodes_.nodes(),
          .groups = nodes_.shared_groups(),
          .n_inflight = static_cast<int64_t>(forwarder_.n_inflight()),
          .draining = draining_};
}

// The view shares the nodes with the table, so this copies pointers. view_ is written on this
// thread only, so it is read here without the lock.
void ZmqFrontend::publish_changes() {
  if (published_membership_ != nodes_.membership()) publish_membership();
  const bool is_same = published_version_ == nodes_.version() &&
                       view_->n_inflight == static_cast<int64_t>(forwarder_.n_inflight()) &&
                       view_->draining == draining_;
  if (is_same) return;
  published_version_ = nodes_.version();
  auto view = std::make_shared<const ClusterView>(present_view());
  std::lock_guard lock(mutex_);
  view_ = std::move(view);
}

void ZmqFrontend::publish_membership() {
  published_membership_ = nodes_.membership();
  for (const char* state : {"connecting", "ready", "stalled", "suspect", "dead", "draining"}) {
    int64_t n = 0;
    for (const auto& node : nodes_.nodes())
      n += std::string_view(state_name(*node)) == state ? 1 : 0;
    probes_.nodes(state, n);
  }
  probes_.false_suspicions(nodes_.n_false_deaths());
  for (const std::string& line : fingerprints_.look(nodes_.groups())) log(LogLevel::kWarning, line);
  for (const auto& [model, n] : fingerprints_.counts())
    probes_.model_fingerprints(model, static_cast<int64_t>(n));
}

}  // namespace lockstep
