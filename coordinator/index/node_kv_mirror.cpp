#include "coordinator/index/node_kv_mirror.h"

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

KvResyncCause cause_of(NodeResidency::Applied applied) {
  switch (applied) {
    case NodeResidency::Applied::kOverCapacity:
      return KvResyncCause::kOverCapacity;
    case NodeResidency::Applied::kCleared:
      return KvResyncCause::kMalformed;
    default:
      return KvResyncCause::kUnknownBlock;
  }
}

}  // namespace

std::optional<IndexSlot> NodeKvMirror::slot() const {
  return shown_ ? std::optional(shown_->slot()) : std::nullopt;
}

void NodeKvMirror::start(uint64_t epoch, size_t max_blocks) {
  stop();
  epoch_ = epoch;
  max_blocks_ = max_blocks;
  load(KvResyncCause::kStart);
}

void NodeKvMirror::stop() {
  state_ = KvMirrorState::kOff;
  shown_.reset();
  loading_.reset();
  waiting_.clear();
  next_ = known_ = snapshot_seq_ = 0;
  heartbeat_.reset();
  behind_.reset();
  is_to_send_ = is_open_ = lacks_slot_ = false;
  loaded_at_ = {};
  pause_ = {};
}

void NodeKvMirror::on_heartbeat(uint64_t kv_seq, uint64_t kv_digest) {
  if (state_ == KvMirrorState::kOff) return;
  known_ = std::max(known_, kv_seq);
  heartbeat_ = {kv_seq, kv_digest};
  if (kv_seq > next_ && !behind_) behind_ = {kv_seq, clock_.now()};
  check_heartbeat();
}

// Compares the digest of the last heartbeat once its number is reached. A number from before the
// last snapshot is right only if the heartbeat was under way with the snapshot.
void NodeKvMirror::check_heartbeat() {
  if (state_ == KvMirrorState::kLoading || !heartbeat_ || heartbeat_->seq > next_) return;
  const auto [seq, digest] = *std::exchange(heartbeat_, std::nullopt);
  const std::optional<uint64_t> ours = digests_.before(seq);
  const bool is_before = seq < snapshot_seq_ && clock_.now() - loaded_at_ > config_.max_lag;
  if (is_before || (ours && *ours != digest)) load(KvResyncCause::kDigest);
}

void NodeKvMirror::on_live(uint64_t seq, std::string_view batch) {
  if (state_ == KvMirrorState::kOff) return;
  const bool is_loading = state_ == KvMirrorState::kLoading;
  if (is_loading ? fault_of(batch).has_value() : seq < next_) {
    ++n_dropped_;
    return;
  }
  if (!is_loading && !decode(batch)) return;
  known_ = std::max(known_, seq + 1);
  if (!is_loading && seq == next_) {
    if (apply_next()) apply_waiting();
    return;
  }
  waiting_.add(seq, batch_);
  if (state_ == KvMirrorState::kFollowing) replay(KvResyncCause::kGap);
}

// Decodes to batch_.
std::optional<KvResyncCause> NodeKvMirror::fault_of(std::string_view bytes) {
  if (!wire::decode_kv_events(bytes, batch_)) return KvResyncCause::kMalformed;
  if (batch_.epoch != epoch_) return KvResyncCause::kEpoch;
  return std::nullopt;
}

// Decodes to batch_. False: the node is loaded anew.
bool NodeKvMirror::decode(std::string_view bytes) {
  const std::optional<KvResyncCause> fault = fault_of(bytes);
  if (fault) load(*fault);
  return !fault;
}

// Applies batch_. False: the node is loaded anew.
bool NodeKvMirror::apply(NodeResidency& to) {
  const NodeResidency::Applied applied = to.apply(batch_);
  if (applied == NodeResidency::Applied::kAll) return true;
  load(cause_of(applied));
  return false;
}

// Applies batch_, which has the number next_.
bool NodeKvMirror::apply_next() {
  if (!apply(*shown_)) return false;
  ++next_;
  digests_.append(shown_->digest());
  if (behind_ && behind_->seq <= next_) behind_.reset();
  check_heartbeat();
  return state_ != KvMirrorState::kLoading;
}

void NodeKvMirror::apply_waiting() {
  while (waiting_.take(next_, batch_)) {
    if (!apply_next()) return;
  }
}

void NodeKvMirror::on_answer(uint64_t id, const wire::KvEventMessage& message) {
  if (!is_open_ || id != request_id_) return;
  heard_at_ = clock_.now();
  const bool is_replay = state_ == KvMirrorState::kReplaying;
  if (message.is_end) {
    is_open_ = false;
    return is_replay ? finish_replay() : finish_loading();
  }
  return is_replay ? on_replayed(message) : on_page(message);
}

void NodeKvMirror::on_replayed(const wire::KvEventMessage& message) {
  if (message.seq < next_) return;  // it came live meanwhile
  if (message.seq > next_) return load(KvResyncCause::kHistory);
  if (decode(message.batch) && apply_next()) apply_waiting();
}

// The first page begins with a cleared event, and all have the number of the next live batch.
void NodeKvMirror::on_page(const wire::KvEventMessage& message) {
  if (!decode(message.batch)) return;
  const bool clears =
      !batch_.events.empty() && batch_.events.front().kind == wire::KvEvent::Kind::kCleared;
  if (clears == has_pages_ || (has_pages_ && message.seq != snapshot_seq_)) {
    return load(KvResyncCause::kMalformed);
  }
  has_pages_ = true;
  snapshot_seq_ = message.seq;
  apply(*loading_);
}

// The node has sent all that it had when it was asked. What live batches lack after that was lost
// meanwhile.
void NodeKvMirror::finish_replay() {
  state_ = KvMirrorState::kFollowing;
  if (next_ < needed_) return load(KvResyncCause::kHistory);
  if (behind_) behind_->since = clock_.now();
  if (!waiting_.empty()) replay(KvResyncCause::kGap);
}

void NodeKvMirror::finish_loading() {
  if (!has_pages_) return load(KvResyncCause::kNoAnswer);
  shown_ = std::move(loading_);
  loading_.reset();
  shown_->show();
  state_ = KvMirrorState::kFollowing;
  loaded_at_ = clock_.now();
  next_ = snapshot_seq_;
  known_ = std::max(known_, next_);
  digests_.restart(next_, shown_->digest());
  if (behind_ && behind_->seq <= next_) behind_.reset();
  if (behind_) behind_->since = loaded_at_;
  check_heartbeat();
  if (state_ != KvMirrorState::kFollowing) return;
  apply_waiting();
  if (state_ == KvMirrorState::kFollowing && !waiting_.empty()) replay(KvResyncCause::kGap);
}

void NodeKvMirror::replay(KvResyncCause cause) {
  count(cause);
  state_ = KvMirrorState::kReplaying;
  is_to_send_ = true;
  is_open_ = false;
  send_at_ = clock_.now();
}

// Everything that the node has sent so far is older than the snapshot to come. A node that must be
// loaded again and again is asked less and less often.
void NodeKvMirror::load(KvResyncCause cause) {
  count(cause);
  const TimePoint now = clock_.now();
  const bool is_first = loaded_at_ == TimePoint() && state_ == KvMirrorState::kOff;
  const bool was_calm = loaded_at_ != TimePoint() && now - loaded_at_ > config_.max_pause;
  pause_ = is_first || was_calm ? std::chrono::milliseconds(0)
                                : std::clamp(2 * pause_, config_.min_pause, config_.max_pause);
  state_ = KvMirrorState::kLoading;
  loading_.reset();
  waiting_.clear();
  known_ = 0;
  heartbeat_.reset();
  behind_.reset();
  is_to_send_ = true;
  is_open_ = false;
  send_at_ = now + pause_;
}

// A slot for the snapshot. If every slot is in use, the node gives its own up, and gets one when it
// is swept.
bool NodeKvMirror::open_loading() {
  loading_ = NodeResidency::open(index_, max_blocks_);
  const bool all_in_use = !loading_ && !index_.needs_sweep();
  lacks_slot_ = all_in_use && !shown_;
  if (all_in_use) shown_.reset();
  return loading_.has_value();
}

std::optional<KvRequest> NodeKvMirror::poll() {
  const TimePoint now = clock_.now();
  if (state_ == KvMirrorState::kFollowing && behind_ && now - behind_->since > config_.max_lag) {
    replay(KvResyncCause::kLag);
  }
  if (is_open_ && now - heard_at_ > config_.answer_timeout) load(KvResyncCause::kNoAnswer);
  if (!is_to_send_ || now < send_at_) return std::nullopt;
  const bool is_replay = state_ == KvMirrorState::kReplaying;
  if (!is_replay && !open_loading()) return std::nullopt;
  is_to_send_ = false;
  is_open_ = true;
  has_pages_ = false;
  needed_ = known_;
  heard_at_ = now;
  return KvRequest{.kind = is_replay ? KvRequest::Kind::kReplay : KvRequest::Kind::kSnapshot,
                   .id = ++request_id_,
                   .first = is_replay ? next_ : 0};
}

}  // namespace lockstep
