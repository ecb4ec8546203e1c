// NodeKvMirror: keeps one node's blocks in the KvBlockIndex equal to what the node has cached. It
// applies the batches of KV events in order, notices what is lost, repeated or wrong, and says what
// to request from the node; docs/wire-protocol.md, section 6, has the protocol. Knows no sockets.
// What a node sends wrongly costs that node a snapshot and nothing else. I/O thread only.
//
//         start()                      answer complete
//   kOff ────────▶ kLoading ──────────────────────────────▶ kFollowing
//    ▲              ▲  ▲                                      │  │  ▲
//    │              │  └── what was sent cannot be right ─────┘  │  │ answer complete
//    │              │      (digest, epoch, blocks, bytes)        │  │
//    │              │                                   gap, lag ▼  │
//    └── stop()     └── the node no longer has them, ──────── kReplaying
//        in any         no answer
//
// While a node is loaded anew, match() finds what was known of it before: old, but mostly right.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/clock.h"
#include "coordinator/index/digest_log.h"
#include "coordinator/index/kv_resync.h"
#include "coordinator/index/node_residency.h"
#include "coordinator/index/waiting_batches.h"
#include "wire/codec/kv_events.h"

namespace lockstep {

enum class KvMirrorState {
  kOff,        // the node is not there, or publishes no events
  kLoading,    // a snapshot is requested, or about to be; live batches wait
  kFollowing,  // each batch is applied as it comes
  kReplaying,  // missing batches are requested; later ones wait
};

struct KvMirrorConfig {
  std::chrono::milliseconds max_lag{500};          // how long a batch may be missing at the end
  std::chrono::milliseconds answer_timeout{2000};  // between two messages of an answer
  // Before a snapshot that follows another within max_pause: at first min_pause, then doubled.
  std::chrono::milliseconds min_pause{100}, max_pause{10'000};
};

class NodeKvMirror {
 public:
  // `index` and `clock` must outlive the mirror.
  NodeKvMirror(KvBlockIndex& index, const Clock& clock, const KvMirrorConfig& config = {})
      : index_(index), clock_(clock), config_(config) {}

  // The node joined, or restarted with another epoch. `max_blocks`: its KV blocks. What was known
  // of it is invisible at once.
  void start(uint64_t epoch, size_t max_blocks);
  // The node is gone. Its blocks are invisible at once.
  void stop();

  // A heartbeat of the node's present epoch: kv_seq batches so far, and the digest after them.
  void on_heartbeat(uint64_t kv_seq, uint64_t kv_digest);
  // A live batch.
  void on_live(uint64_t seq, std::string_view batch);
  // A message of the answer to request `id`; those of earlier requests are ignored. Answers of
  // several requests must not be confused, so each needs a connection of its own.
  void on_answer(uint64_t id, const wire::KvEventMessage& message);

  // What to request now, if anything; to be called after each of the above and every 100 ms or so.
  std::optional<KvRequest> poll();

  KvMirrorState state() const { return state_; }
  // The last poll() had a snapshot to request, and every slot of the index is another node's.
  bool lacks_slot() const { return lacks_slot_; }
  // The slot that match() looks at; nullopt: nothing is known of the node.
  std::optional<IndexSlot> slot() const;
  size_t n_blocks() const { return shown_ ? shown_->n_blocks() : 0; }
  // Batches that the node is known to have published and that are not applied.
  uint64_t n_batches_behind() const { return known_ > next_ ? known_ - next_ : 0; }
  uint64_t n_resyncs(KvResyncCause cause) const { return n_resyncs_[static_cast<size_t>(cause)]; }
  // Live batches of no use: applied already, or unreadable or of another epoch while loading.
  uint64_t n_dropped() const { return n_dropped_; }

 private:
  using TimePoint = Clock::TimePoint;
  struct Digest {
    uint64_t seq = 0, value = 0;
  };
  struct Behind {
    uint64_t seq = 0;  // batches before this number are missing
    TimePoint since;
  };

  bool decode(std::string_view bytes);
  std::optional<KvResyncCause> fault_of(std::string_view bytes);
  bool apply(NodeResidency& to);
  bool apply_next();
  void apply_waiting();
  void on_replayed(const wire::KvEventMessage& message);
  void on_page(const wire::KvEventMessage& message);
  void finish_replay();
  void finish_loading();
  void check_heartbeat();
  void replay(KvResyncCause cause);
  void load(KvResyncCause cause);
  bool open_loading();
  void count(KvResyncCause cause) { ++n_resyncs_[static_cast<size_t>(cause)]; }

  KvBlockIndex& index_;
  const Clock& clock_;
  const KvMirrorConfig config_;

  KvMirrorState state_ = KvMirrorState::kOff;
  uint64_t epoch_ = 0;
  size_t max_blocks_ = 0;
  std::optional<NodeResidency> shown_;    // what match() finds
  std::optional<NodeResidency> loading_;  // kLoading: the pages so far
  uint64_t next_ = 0;                     // number of the next batch to apply to shown_
  DigestLog digests_;                     // of shown_
  WaitingBatches waiting_;
  wire::KvEventBatch batch_;  // the one at hand

  uint64_t known_ = 0;               // batches that the node has published, as far as is known
  std::optional<Digest> heartbeat_;  // of a number that is not reached yet
  std::optional<Behind> behind_;

  // The request under way or to be sent.
  bool is_to_send_ = false;
  uint64_t request_id_ = 0;  // of the last request
  bool is_open_ = false;     // its answer is awaited
  bool has_pages_ = false;   // kLoading
  bool lacks_slot_ = false;
  uint64_t needed_ = 0;        // kReplaying: the answer must reach this number
  uint64_t snapshot_seq_ = 0;  // of the pages; later, the first number after the last snapshot
  TimePoint send_at_, heard_at_, loaded_at_;
  std::chrono::milliseconds pause_{0};

  std::array<uint64_t, kKvResyncCauses> n_resyncs_{};
  uint64_t n_dropped_ = 0;
};

}  // namespace lockstep
