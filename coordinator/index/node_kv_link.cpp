#include "coordinator/index/node_kv_link.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "common/log.h"
#include "wire/zmq/endpoint.h"

namespace lockstep {
namespace {

// The publisher drops what exceeds the queue, and the mirror has it replayed.
constexpr int kLiveQueue = 1000;

// Frames that are no message of KV events count as a batch that cannot be decoded.
constexpr wire::KvEventMessage kUnreadable{
    .topic = {}, .seq = wire::kKvEnd, .batch = {}, .is_end = false};

wire::KvEventMessage read(const wire::Incoming& incoming) {
  std::vector<std::string_view> frames = {incoming.body};
  frames.insert(frames.end(), incoming.others.begin(), incoming.others.end());
  return wire::read_kv_frames(frames).value_or(kUnreadable);
}

std::string_view name_of(KvMirrorState state) {
  switch (state) {
    case KvMirrorState::kLoading:
      return "loading";
    case KvMirrorState::kFollowing:
      return "following";
    case KvMirrorState::kReplaying:
      return "replaying";
    default:
      return "off";
  }
}

Result<wire::Socket> connected(wire::Context& context, wire::SocketKind kind,
                               const wire::SocketOptions& options, const std::string& endpoint) {
  TRY(wire::Socket socket, wire::Socket::make(context, kind, options));
  TRY([[maybe_unused]] const Ok done, socket.connect(endpoint));
  return socket;
}

}  // namespace

NodeKvLink::NodeKvLink(std::string endpoint, const KvLinkParts& parts)
    : endpoint_(std::move(endpoint)), parts_(parts), mirror_(parts.index, parts.clock) {}

void NodeKvLink::follow(const wire::Welcome* welcome) {
  if (welcome == nullptr) return stop();
  if (epoch_ == welcome->epoch) return;
  stop();
  epoch_ = welcome->epoch;
  if (!welcome->events.empty()) start(*welcome);
}

void NodeKvLink::start(const wire::Welcome& welcome) {
  const auto events = wire::reachable_endpoint(endpoint_, welcome.events);
  const auto replay = wire::reachable_endpoint(endpoint_, welcome.events_replay);
  if (!events || !replay) {
    if (!std::exchange(warned_of_endpoints_, true))
      log(LogLevel::kWarning,
          str("node ", endpoint_, " publishes KV events on ", welcome.events, ", with replay on ",
              welcome.events_replay.empty() ? "none" : welcome.events_replay,
              ". This coordinator needs both, so the prefix index leaves the node out"));
    return;
  }
  Result<wire::Socket> socket = connected(parts_.context, wire::SocketKind::kSubscriber,
                                          {.high_water_mark = kLiveQueue}, *events);
  if (!socket) return log(LogLevel::kWarning, socket.error().message);
  live_ = parts_.loop.add(std::move(*socket), [this](wire::Incoming& in) { on_live(in); });
  replay_endpoint_ = *replay;
  mirror_.start(welcome.epoch, static_cast<size_t>(std::max<int64_t>(0, welcome.n_kv_blocks)));
  poll();
}

void NodeKvLink::stop() {
  epoch_.reset();
  mirror_.stop();
  close(live_);
  close(replay_);
}

void NodeKvLink::close(std::optional<wire::ZmqLoop::SocketId>& socket) {
  if (socket) parts_.loop.remove(*std::exchange(socket, std::nullopt));
}

void NodeKvLink::on_heartbeat(const wire::Heartbeat& heartbeat) {
  if (epoch_ != heartbeat.epoch) return;
  mirror_.on_heartbeat(heartbeat.kv_seq, heartbeat.kv_digest);
  poll();
}

void NodeKvLink::on_live(const wire::Incoming& incoming) {
  const wire::KvEventMessage message = read(incoming);
  mirror_.on_live(message.seq, message.batch);
  poll();
}

void NodeKvLink::on_answer(uint64_t request_id, const wire::Incoming& incoming) {
  const wire::KvEventMessage message = read(incoming);
  if (message.is_end) close(replay_);
  mirror_.on_answer(request_id, message);
  poll();
}

void NodeKvLink::poll() {
  if (const std::optional<KvRequest> request = mirror_.poll()) send(*request);
  if (mirror_.lacks_slot() && !std::exchange(warned_of_slots_, true))
    log(LogLevel::kWarning, str("the prefix index leaves node ", endpoint_, " out: its ",
                                KvBlockIndex::kMaxSlots, " slots are those of other nodes"));
}

// A socket of its own for each request, so that a late answer to an earlier one is not taken for
// the answer to this one. A request that cannot be sent is one without an answer.
void NodeKvLink::send(const KvRequest& request) {
  close(replay_);
  Result<wire::Socket> socket = connected(parts_.context, wire::SocketKind::kDealer,
                                          {.queue_unconnected = true}, replay_endpoint_);
  if (!socket) return log(LogLevel::kWarning, socket.error().message);
  const std::string number = wire::encode_kv_sequence(request.first);
  const bool is_replay = request.kind == KvRequest::Kind::kReplay;
  const std::array<std::string_view, 2> frames = {"",
                                                  is_replay ? number : wire::kKvSnapshotRequest};
  (void)socket->send("", frames);
  replay_ = parts_.loop.add(std::move(*socket),
                            [this, id = request.id](wire::Incoming& in) { on_answer(id, in); });
}

NodeKvStatus NodeKvLink::status() const {
  NodeKvStatus status{.state = name_of(mirror_.state()),
                      .n_blocks = mirror_.n_blocks(),
                      .n_batches_behind = mirror_.n_batches_behind(),
                      .n_resyncs = {},
                      .n_dropped = mirror_.n_dropped()};
  for (size_t i = 0; i < kKvResyncCauses; ++i)
    status.n_resyncs[i] = mirror_.n_resyncs(static_cast<KvResyncCause>(i));
  return status;
}

}  // namespace lockstep
