// EventPublisher: publishes the prefix cache's block events in vLLM's format
// (wire/codec/kv_events.h). A PUB sends them live. A ROUTER serves subscribers that missed some: it
// sends the last batches again, or a snapshot of all resident blocks. I/O thread only, except for
// the endpoints.
//
//   engine thread ── BlockEventLog ──▶ publish() ──▶ PUB [topic, number, batch]
//                                          └─ the last batches are kept ─▶ replay
//   ROUTER [peer, "", number]      ──▶ [peer, "", topic, number, batch]* [peer, "", "", -1, ""]
//   ROUTER [peer, "", "snapshot"]  ──▶ the same; each number is that of the next live batch
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/threads/completions.h"
#include "node/kv/report/resident_blocks.h"
#include "node/service/probes.h"
#include "node/text/prompt/text_worker.h"
#include "wire/zmq/socket.h"
#include "wire/zmq/zmq_loop.h"

namespace lockstep {

struct EventPublisherConfig {
  std::string events;         // of the PUB; port 0 = a free one
  std::string events_replay;  // of the ROUTER; empty: none
  std::string model;          // in the topic
  uint64_t epoch = 0;
  // Batches kept for replay: vLLM's default, and a bound for busy nodes with long batches.
  size_t max_replay_batches = 10'000;
  size_t max_replay_bytes = size_t{64} << 20;
  size_t blocks_per_page = 4096;  // of a snapshot's message
};

class EventPublisher {
 public:
  // Requests the resident blocks from the engine; `answer` runs on its thread. False: it never
  // runs.
  using AskResident = std::function<bool(std::function<void(ResidentBlocks)> answer)>;

  // All of them must outlive this object; no answer may be pending at its destruction.
  EventPublisher(const EventPublisherConfig& config, BlockEventLog& log, int32_t block_size,
                 AskResident ask, wire::ZmqLoop& loop, Completions& completions, TextWorker& worker,
                 NodeProbes& probes);

  // Call before the loop starts.
  Status listen(wire::Context& context, wire::SocketOptions options);
  const std::string& endpoint() const { return endpoint_; }
  const std::string& replay_endpoint() const { return replay_endpoint_; }

  // Sends the events since the last call.
  void publish();

 private:
  using Payload = std::shared_ptr<const std::string>;
  struct Batch {
    uint64_t seq = 0;
    Payload payload;
  };

  void publish(const BlockEventBatch& batch);
  void keep(Batch batch);
  void on_request(const wire::Incoming& incoming);
  void replay(const std::string& peer, uint64_t first);
  void ask_snapshot();
  void encode_snapshot(const std::shared_ptr<const ResidentBlocks>& resident);
  void send_snapshot(uint64_t next, const std::vector<std::string>& pages);
  // False if the peer does not accept it. The peer then receives no end marker, which shows the
  // loss.
  bool send(const std::string& peer, std::string_view topic, uint64_t seq,
            std::string_view payload);
  void send_end(const std::string& peer);

  // constant after listen()
  const EventPublisherConfig config_;
  BlockEventLog& log_;
  const int32_t block_size_;
  const AskResident ask_;
  wire::ZmqLoop& loop_;
  Completions& completions_;
  TextWorker& worker_;
  NodeProbes& probes_;
  std::string endpoint_, replay_endpoint_, topic_;
  wire::ZmqLoop::SocketId publisher_{}, router_{};
  // I/O thread
  std::deque<Batch> kept_;
  size_t n_kept_bytes_ = 0;
  std::vector<std::string> asking_;   // peers whose snapshot is being taken
  std::vector<std::string> waiting_;  // for the next one
};

}  // namespace lockstep
