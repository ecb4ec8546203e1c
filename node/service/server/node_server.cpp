#include "node/service/server/node_server.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "node/engine/core/engine_core.h"
#include "node/service/requests/sampling_defaults.h"
#include "wire/codec/codec.h"
#include "wire/codec/scan.h"
#include "wire/codec/sendable.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTick{20};  // interval of retries to slow peers
constexpr milliseconds kLoadLine{1000};
constexpr milliseconds kHungAfter{5000};
constexpr milliseconds kFinalMessageLinger{1000};

wire::ModelInfo model_info(const ServedModel& model) {
  const auto max_model_len = static_cast<uint64_t>(model.engine.config().limits.max_model_len);
  return {model.name, model.created, max_model_len, to_wire(model.sampling_defaults)};
}

wire::StepTimes to_milliseconds(const StepCosts& seconds) {
  constexpr double kMs = 1e3;
  return {.base = kMs * seconds.base,
          .prompt_token = kMs * seconds.prompt_token,
          .prompt_context = kMs * seconds.prompt_context,
          .sequence = kMs * seconds.sequence,
          .context = kMs * seconds.context};
}

// Returns a function that copies the resident blocks between two turns of the engine.
EventPublisher::AskResident ask_resident(const ServedModel& model) {
  return [&model](std::function<void(ResidentBlocks)> answer) {
    return model.engine.post([&model, answer = std::move(answer)](EngineCore& core) {
      model.block_events->end_turn();
      answer(copy_resident_blocks(core.scheduler().cache().index(), model.block_events->state()));
    });
  };
}

}  // namespace

Result<std::unique_ptr<NodeServer>> NodeServer::make(const ServedModel& model,
                                                     EventMailbox& mailbox, NodeProbes& probes,
                                                     const Clock& clock,
                                                     const NodeServerConfig& config) {
  std::unique_ptr<NodeServer> server(new NodeServer(model, mailbox, probes, clock, config));
  TRY([[maybe_unused]] const Ok listening, server->listen());
  return server;
}

NodeServer::NodeServer(const ServedModel& model, EventMailbox& mailbox, NodeProbes& probes,
                       const Clock& clock, const NodeServerConfig& config)
    : model_(model),
      mailbox_(mailbox),
      probes_(probes),
      config_(config),
      last_tick_(steady_clock::now().time_since_epoch()),
      loop_(config.max_tasks),
      completions_([this] { loop_.wake(); }),
      send_queue_([this](const std::string& peer, std::string_view body) {
        return loop_.socket(socket_).send(peer, body);
      }),
      worker_(
          config.max_long_prompts,
          [this](TextWorker::Finish finish) { completions_.add(std::move(finish)); },
          model.engine.config().tenants.size()),
      texts_(model, send_queue_, worker_),
      requests_(model, send_queue_, worker_, probes, clock),
      control_(model, requests_, completions_) {}

NodeServer::~NodeServer() { stop(); }

Status NodeServer::listen() {
  TRY(wire::Socket socket, wire::Socket::make(context_, wire::SocketKind::kRouter, config_.socket));
  TRY([[maybe_unused]] const Ok bound, socket.bind(config_.listen));
  endpoint_ = socket.endpoint();
  socket_ = loop_.add(std::move(socket), [this](wire::Incoming& in) { on_message(in); });
  return model_.block_events != nullptr ? listen_for_events() : Ok{};
}

Status NodeServer::listen_for_events() {
  EventPublisherConfig config;
  config.events = config_.events;
  config.events_replay = config_.events_replay;
  config.model = model_.name;
  config.epoch = model_.epoch;
  const int32_t block_size = model_.engine.config().limits.block_size;
  events_ =
      std::make_unique<EventPublisher>(config, *model_.block_events, block_size,
                                       ask_resident(model_), loop_, completions_, worker_, probes_);
  TRY([[maybe_unused]] const Ok listening, events_->listen(context_, config_.socket));
  log(LogLevel::kInfo, str("KV events on ", events_->endpoint(), ", replay on ",
                           config.events_replay.empty() ? "none" : events_->replay_endpoint()));
  return Ok{};
}

void NodeServer::start() {
  mailbox_.on_outputs([this] { loop_.wake(); });
  if (events_) model_.block_events->on_batch([this] { loop_.wake(); });
  loop_.on_wake([this] {
    completions_.run();
    on_outputs();
  });
  loop_.every(kTick, [this] { on_tick(); });
  loop_.every(config_.heartbeat_interval, [this] { send_heartbeats(); });
  if (is_logged(LogLevel::kTrace)) loop_.every(kLoadLine, [this] { log_load(); });
  loop_.start();
}

void NodeServer::drain() {
  completions_.add([this] {
    requests_.drain();
    model_.engine.drain();
    loop_.socket(socket_).set_linger(kFinalMessageLinger);
    send_heartbeats();
  });
}

void NodeServer::stop() {
  worker_.stop();  // first, because its jobs use the servers and post to the loop
  loop_.stop();
}

bool NodeServer::is_alive() const {
  return steady_clock::now().time_since_epoch() - last_tick_.load() < kHungAfter;
}

void NodeServer::on_message(const wire::Incoming& incoming) {
  if (!incoming.single_frame) {
    const std::string_view body =
        incoming.body.empty() ? incoming.second() : std::string_view(incoming.body);
    refuse(incoming.peer, std::string(wire::find_request_id(body)),
           {ErrorCode::kInvalidRequest, "a message is one frame, without an empty delimiter", ""});
    return;
  }
  std::string request_id;
  Result<wire::Message> message = wire::decode(incoming.body, &request_id);
  if (message) {
    std::visit([&](auto& m) { handle(incoming.peer, m); }, *message);
  } else {
    refuse(incoming.peer, request_id, message.error());
  }
  reap_lost_peers();
}

void NodeServer::on_outputs() {
  mailbox_.take(outputs_);
  requests_.on_outputs(outputs_, coordinators_);
  if (events_) events_->publish();
  reap_lost_peers();
}

void NodeServer::on_tick() {
  last_tick_ = steady_clock::now().time_since_epoch();
  send_queue_.flush();
  reap_lost_peers();
  if (requests_.draining() && requests_.n_live() == 0 && model_.engine.drained()) {
    drained_ = send_queue_.empty();
  }
}

void NodeServer::send_heartbeats() {
  if (coordinators_.empty()) return;
  const std::string body = wire::encode(heartbeat());
  for (const std::string& peer : coordinators_) send_queue_.try_send(peer, body);
  reap_lost_peers();
}

void NodeServer::log_load() {
  const EngineSnapshot s = model_.engine.snapshot();
  const bool was_idle = std::exchange(n_steps_logged_, s.n_steps) == s.n_steps;
  if (was_idle && s.n_running + s.n_waiting == 0) return;
  log(LogLevel::kTrace,
      str("load running=", s.n_running, " waiting=", s.n_waiting, " steps=", s.n_steps,
          " blocks_free=", s.n_blocks_free, " blocks_cached=", s.n_blocks_cached,
          " blocks_active=", s.n_blocks_active, " blocks_reserved=", s.n_blocks_reserved,
          " evicted=", s.n_blocks_evicted));
}

void NodeServer::reap_lost_peers() {
  for (const std::string& peer : send_queue_.take_lost()) {
    if (coordinators_.erase(peer) > 0) log(LogLevel::kInfo, "a coordinator is gone");
    requests_.drop_peer(peer);
  }
}

void NodeServer::refuse(const std::string& peer, const std::string& request_id,
                        const Error& error) {
  probes_.bad_message();
  send_queue_.send(peer, wire::ErrorReply{request_id, error.code, error.message, error.param});
}

wire::Heartbeat NodeServer::heartbeat() const {
  const EngineSnapshot s = model_.engine.snapshot();
  wire::Heartbeat h;
  h.epoch = model_.epoch;
  h.step = s.n_steps;
  h.n_running = s.n_running;
  h.n_waiting = s.n_waiting;
  h.n_blocks_total = s.n_blocks_total;
  h.n_blocks_free = s.n_blocks_free;
  h.n_blocks_cached = s.n_blocks_cached;
  h.n_blocks_active = s.n_blocks_active;
  h.n_prompt_tokens = s.n_prompt_tokens;
  h.n_cached_tokens = s.n_cached_tokens;
  h.n_output_tokens = s.n_output_tokens;
  h.draining = requests_.draining();
  if (events_) {
    const BlockEventState state = model_.block_events->state();
    h.kv_seq = state.n_batches;
    h.kv_digest = state.digest;
  }
  h.progress = s.progress;
  h.n_prompt_tokens_pending = s.n_prompt_tokens_pending;
  h.n_context_tokens = s.n_context_tokens;
  if (s.step_costs) h.step_times = to_milliseconds(*s.step_costs);
  return h;
}

void NodeServer::handle(const std::string& peer, wire::Generate& message) {
  requests_.generate(peer, std::move(message));
}
void NodeServer::handle(const std::string& peer, wire::Cancel& message) {
  requests_.cancel(peer, message.request_id);
}
void NodeServer::handle(const std::string& peer, wire::Tokenize& message) {
  texts_.tokenize(peer, std::move(message));
}
void NodeServer::handle(const std::string& peer, wire::Detokenize& message) {
  texts_.detokenize(peer, std::move(message));
}
void NodeServer::handle(const std::string& peer, wire::StatusRequest& message) {
  wire::Heartbeat status = heartbeat();
  status.request_id = message.request_id;
  send_queue_.send(peer, status);
}
void NodeServer::handle(const std::string& peer, wire::ModelsRequest& message) {
  send_queue_.send(peer, wire::Models{message.request_id, {model_info(model_)}});
}

void NodeServer::handle(const std::string& peer, wire::Hello& message) {
  const auto& versions = message.versions;
  if (std::find(versions.begin(), versions.end(), wire::kProtocolVersion) == versions.end()) {
    return refuse(
        peer, "",
        {ErrorCode::kUnsupportedParameter,
         str("none of the offered protocol versions; supported: [", wire::kProtocolVersion, "]"),
         "versions"});
  }
  const bool is_coordinator = message.role == "coordinator";
  const bool is_new = is_coordinator && coordinators_.insert(peer).second;
  if (is_new) log(LogLevel::kInfo, "a coordinator connected");
  const EngineConfig& engine = model_.engine.config();
  wire::Welcome welcome;
  welcome.epoch = model_.epoch;
  welcome.fingerprint = model_.fingerprint;
  welcome.models = {model_info(model_)};
  welcome.block_size = engine.limits.block_size;
  welcome.n_kv_blocks = engine.n_kv_blocks;
  welcome.max_num_seqs = engine.limits.max_seqs;
  welcome.max_num_queued_reqs = engine.max_queued_requests;
  welcome.backend = model_.backend;
  welcome.description = model_.description;
  welcome.text_fingerprint = model_.text_fingerprint;
  welcome.new_peer = is_new;
  if (events_) {
    welcome.events = events_->endpoint();
    welcome.events_replay = events_->replay_endpoint();
  }
  send_queue_.send(peer, welcome);
  // So that the coordinator's status never shows a node without a load.
  if (is_coordinator) send_queue_.try_send(peer, wire::encode(heartbeat()));
}

void NodeServer::handle(const std::string& peer, wire::ClearKvCache& message) {
  control_.clear(message, answer<wire::KvCacheCleared>(peer, message.request_id));
}
void NodeServer::handle(const std::string& peer, wire::SlotsRequest& message) {
  control_.slots(message, answer<wire::SlotList>(peer, message.request_id));
}
void NodeServer::handle(const std::string& peer, wire::DescribeRequest& message) {
  send_queue_.send(peer, control_.describe(message.request_id));
}

// Megabytes, so only peers that keep them for many requests get them.
void NodeServer::handle(const std::string& peer, wire::DescribeText& message) {
  if (coordinators_.count(peer) == 0)
    return refuse(peer, message.request_id,
                  {ErrorCode::kInvalidRequest, "only a coordinator may ask for it", "type"});
  if (model_.text_data.empty())
    return refuse(peer, message.request_id,
                  {ErrorCode::kInvalidRequest, "this node does not publish its text model", ""});
  send_queue_.send(
      peer, wire::TextDescription{message.request_id, model_.text_fingerprint, model_.text_data});
}

template <class Answer>
ControlServer::Reply<Answer> NodeServer::answer(const std::string& peer,
                                                const std::string& request_id) {
  return [this, peer, request_id](Result<Answer> result) {
    if (!result) return refuse(peer, request_id, result.error());
    send_queue_.send(peer, std::move(result).value());
  };
}

namespace {
const Error kLoopIsFull{ErrorCode::kOverloaded, "too many verbs wait, or the node is stopping", ""};
}  // namespace

void NodeServer::clear(const wire::ClearKvCache& ask,
                       const ControlServer::Reply<wire::KvCacheCleared>& reply) {
  if (!loop_.post([this, ask, reply] { control_.clear(ask, reply); })) reply(kLoopIsFull);
}

void NodeServer::slots(const wire::SlotsRequest& ask,
                       const ControlServer::Reply<wire::SlotList>& reply) {
  if (!loop_.post([this, ask, reply] { control_.slots(ask, reply); })) reply(kLoopIsFull);
}

template <class M>
void NodeServer::handle(const std::string& peer, M& message) {
  const wire::Message taken = std::move(message);
  refuse(peer, wire::request_id_of(taken),
         {ErrorCode::kInvalidRequest, str("a node takes no '", wire::type_name(taken), "' message"),
          "type"});
}

}  // namespace lockstep
