// RequestServer: the life of requests on a node, from a peer's `generate` to its one final message.
// The class knows messages and the engine, but no sockets. I/O thread only.
//
//   generate -> checks -> prompt to ids (by TextWorker if long) -> Engine::submit
//            -> accepted -> tokens* -> done | error
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/seed_source.h"
#include "node/service/probes.h"
#include "node/service/requests/event_mailbox.h"
#include "node/service/requests/generate_params.h"
#include "node/service/requests/peer_requests.h"
#include "node/service/requests/send_queue.h"
#include "node/service/requests/served_model.h"
#include "node/text/prompt/text_worker.h"
#include "wire/messages.h"

namespace lockstep {

class RequestServer {
 public:
  // All arguments must outlive this object.
  RequestServer(const ServedModel& model, SendQueue& send_queue, TextWorker& worker,
                NodeProbes& probes, const Clock& clock);

  void generate(const std::string& peer, wire::Generate request);
  void cancel(const std::string& peer, const std::string& request_id);

  // Sends the outputs. Each of `batched_peers`, the coordinators, receives the tokens of all its
  // streams in one message.
  void on_outputs(const StepOutputs& outputs, const std::set<std::string>& batched_peers);
  // For a peer that is gone: cancels all its requests and sends it no further message.
  void drop_peer(const std::string& peer);

  // Refuses all new requests.
  void drain() { draining_ = true; }
  bool draining() const { return draining_; }
  size_t n_live() const { return live_.size(); }
  // Returns the peer's id of the request; empty if the request is not live.
  std::string name_of(RequestId id) {
    const PeerRequest* live = live_.find(id);
    return live == nullptr ? std::string() : live->request_id;
  }

 private:
  Status check_open(const std::string& model) const;
  void submit(RequestId id, const wire::Generate& request, GenerationRequest wanted,
              Result<std::vector<int32_t>> prompt);
  void send_batch(const std::string& peer, wire::TokensBatch& batch);
  void send_tokens(PeerRequest& request, const wire::Tokens& tokens);
  void observe(PeerRequest& request, const ChoiceEvent& event, Clock::TimePoint at);
  wire::Tokens to_wire(PeerRequest& request, const ChoiceEvent& event) const;
  void mute(PeerRequest& request);
  void end(const StepOutputs::End& end);
  void refuse(const std::string& peer, const std::string& request_id, const Error& error);

  const ServedModel& model_;
  SendQueue& send_queue_;
  TextWorker& worker_;
  NodeProbes& probes_;
  const Clock& clock_;
  PeerRequests live_;
  std::map<std::string, wire::TokensBatch> batches_;  // by peer; of the outputs being sent
  std::string frame_;                                 // reused
  SeedSource seeds_{std::nullopt};
  bool draining_ = false;
};

}  // namespace lockstep
