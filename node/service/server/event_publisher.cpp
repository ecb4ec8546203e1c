#include "node/service/server/event_publisher.h"

#include <utility>

#include "common/clock.h"
#include "common/log.h"
#include "wire/codec/kv_events.h"

namespace lockstep {
namespace {

constexpr size_t kMaxSnapshotPeers = 64;

void write(wire::KvEventWriter& out, const BlockEvent& event, int32_t block_size) {
  switch (event.kind) {
    case BlockEvent::Kind::kStored:
      return out.stored({.hashes = event.hashes,
                         .parent = event.parent,
                         .tokens = event.tokens,
                         .block_size = block_size,
                         .salt = event.salt});
    case BlockEvent::Kind::kRemoved:
      return out.removed(event.hashes);
    case BlockEvent::Kind::kCleared:
      return out.cleared();
  }
}

std::string encode(const std::vector<BlockEvent>& events, uint64_t epoch, int32_t block_size) {
  std::string out;
  wire::KvEventWriter writer(out, unix_seconds(), epoch, events.size());
  for (const BlockEvent& event : events) write(writer, event, block_size);
  writer.finish();
  return out;
}

// The first page clears the subscriber's earlier state, so there is always at least one page.
std::vector<std::string> encode_pages(const ResidentBlocks& resident,
                                      const EventPublisherConfig& config) {
  std::vector<std::vector<BlockEvent>> pieces = stored_events(resident, config.blocks_per_page);
  if (pieces.empty()) pieces.emplace_back();
  BlockEvent cleared;
  cleared.kind = BlockEvent::Kind::kCleared;
  pieces.front().insert(pieces.front().begin(), std::move(cleared));
  std::vector<std::string> pages;
  pages.reserve(pieces.size());
  for (const auto& piece : pieces) {
    pages.push_back(encode(piece, config.epoch, resident.block_size));
  }
  return pages;
}

std::string without_scheme(const std::string& endpoint) {
  const size_t scheme = endpoint.find("://");
  return scheme == std::string::npos ? endpoint : endpoint.substr(scheme + 3);
}

}  // namespace

EventPublisher::EventPublisher(const EventPublisherConfig& config, BlockEventLog& log,
                               int32_t block_size, AskResident ask, wire::ZmqLoop& loop,
                               Completions& completions, TextWorker& worker, NodeProbes& probes)
    : config_(config),
      log_(log),
      block_size_(block_size),
      ask_(std::move(ask)),
      loop_(loop),
      completions_(completions),
      worker_(worker),
      probes_(probes) {}

Status EventPublisher::listen(wire::Context& context, wire::SocketOptions options) {
  TRY(wire::Socket publisher, wire::Socket::make(context, wire::SocketKind::kPublisher, options));
  TRY([[maybe_unused]] const Ok bound, publisher.bind(config_.events));
  endpoint_ = publisher.endpoint();
  topic_ = "kv@" + without_scheme(endpoint_) + "@" + config_.model;
  publisher_ = loop_.add(std::move(publisher), [](wire::Incoming&) {});
  if (config_.events_replay.empty()) return Ok{};
  // A whole replay must fit into a peer's queue.
  options.high_water_mark += static_cast<int>(config_.max_replay_batches);
  TRY(wire::Socket router, wire::Socket::make(context, wire::SocketKind::kRouter, options));
  TRY([[maybe_unused]] const Ok too, router.bind(config_.events_replay));
  replay_endpoint_ = router.endpoint();
  router_ = loop_.add(std::move(router), [this](wire::Incoming& in) { on_request(in); });
  return Ok{};
}

void EventPublisher::publish() {
  for (const BlockEventBatch& batch : log_.take()) publish(batch);
}

void EventPublisher::publish(const BlockEventBatch& batch) {
  auto payload =
      std::make_shared<const std::string>(encode(batch.events, config_.epoch, block_size_));
  const std::string seq = wire::encode_kv_sequence(batch.seq);
  const std::string_view frames[] = {topic_, seq, *payload};
  const Result<wire::SendResult> sent = loop_.socket(publisher_).send("", frames);
  if (!sent) log(LogLevel::kError, sent.error().message);
  keep({batch.seq, std::move(payload)});
}

void EventPublisher::keep(Batch batch) {
  if (replay_endpoint_.empty()) return;
  n_kept_bytes_ += batch.payload->size();
  kept_.push_back(std::move(batch));
  while (kept_.size() > config_.max_replay_batches || n_kept_bytes_ > config_.max_replay_bytes) {
    n_kept_bytes_ -= kept_.front().payload->size();
    kept_.pop_front();
  }
}

// A malformed request gets no answer, as in vLLM.
void EventPublisher::on_request(const wire::Incoming& incoming) {
  publish();  // the requested events may still be in the log
  if (!incoming.body.empty()) return probes_.bad_message();
  if (incoming.second() == wire::kKvSnapshotRequest) {
    probes_.events_replayed("snapshot");
    if (waiting_.size() < kMaxSnapshotPeers) waiting_.push_back(incoming.peer);
    return ask_snapshot();
  }
  const std::optional<uint64_t> first = wire::decode_kv_sequence(incoming.second());
  if (!first) return probes_.bad_message();
  probes_.events_replayed("replay");
  replay(incoming.peer, *first);
}

void EventPublisher::replay(const std::string& peer, uint64_t first) {
  for (const Batch& batch : kept_) {
    if (batch.seq >= first && !send(peer, topic_, batch.seq, *batch.payload)) return;
  }
  send_end(peer);
}

// One snapshot is taken at a time. A peer that asks meanwhile receives the next one, because the
// current one may be older than its subscription.
void EventPublisher::ask_snapshot() {
  if (!asking_.empty() || waiting_.empty()) return;
  asking_ = std::exchange(waiting_, {});
  const bool asked = ask_([this](ResidentBlocks resident) {
    auto shared = std::make_shared<const ResidentBlocks>(std::move(resident));
    completions_.add([this, shared] { encode_snapshot(shared); });
  });
  if (!asked) asking_.clear();  // the peers time out and ask again
}

// Runs outside the loop, because a large cache takes tens of milliseconds.
void EventPublisher::encode_snapshot(const std::shared_ptr<const ResidentBlocks>& resident) {
  const size_t n_bytes = resident->tokens.size() * sizeof(int32_t);
  const bool taken = worker_.run(n_bytes, /*tenant=*/0, [this, resident] {
    auto pages = std::make_shared<const std::vector<std::string>>(encode_pages(*resident, config_));
    return [this, next = resident->state.n_batches, pages] { send_snapshot(next, *pages); };
  });
  if (!taken) send_snapshot(resident->state.n_batches, {});
}

void EventPublisher::send_snapshot(uint64_t next, const std::vector<std::string>& pages) {
  for (const std::string& peer : std::exchange(asking_, {})) {
    bool sent = !pages.empty();
    for (size_t i = 0; sent && i < pages.size(); ++i) sent = send(peer, topic_, next, pages[i]);
    if (sent) send_end(peer);
  }
  ask_snapshot();
}

bool EventPublisher::send(const std::string& peer, std::string_view topic, uint64_t seq,
                          std::string_view payload) {
  const std::string number = wire::encode_kv_sequence(seq);
  const std::string_view frames[] = {"", topic, number, payload};
  const Result<wire::SendResult> sent = loop_.socket(router_).send(peer, frames);
  return sent && *sent == wire::SendResult::kSent;
}

void EventPublisher::send_end(const std::string& peer) { send(peer, "", wire::kKvEnd, ""); }

}  // namespace lockstep
