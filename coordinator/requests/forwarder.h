// Forwarder: forwards each client request to a node, and forwards the node's messages back to the
// client until the request's one final message. It makes decisions and opens no sockets: it sends
// only through NodeLinks and ReplySink. I/O thread only: the thread that owns all ZeroMQ sockets.
//
// - Seed: a request without a seed gets one here, so that the request can be run again exactly. The
//   prompts of one request get the same seed, and their choices are numbered consecutively
//   (choice_numbers.h).
// - Refusal: a request is refused if its n is out of range, if no node could decode it, if it
//   exceeds max_inflight or the budget for bytes in flight (request_bytes.h), if no node serves its
//   model, or during a drain.
// - Ids: on the link to a node, every request has an id that the coordinator generates (the
//   upstream id, "upstream" meaning towards the node). The client's own id is used towards the
//   client only.
// - Token order (inflight_table.h): tokens are counted by their absolute index within the choice.
//   Tokens that were sent before, or that come from another epoch or attempt, are dropped. A gap
//   ends the request.
// - Retry: before the client had any output, a request is sent to the next candidate of the same
//   fingerprint (placement.h) if its node is lost, or refuses it for the node's state or the
//   request's length (refusal.h). Each node gets the request at most once. When no candidate is
//   left, the client receives the refusal that keep_refusal() kept. A request during which
//   kMaxNodesLost (2) nodes were lost is not sent to a further node, because the request may be
//   the cause.
// - Node loss: when a node is lost, its requests that had output end with an error. Their token ids
//   and seeds are kept up to that moment, which is all that resuming them on another node needs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/memory/byte_budget.h"
#include "common/seed_source.h"
#include "coordinator/cluster/node_table.h"
#include "coordinator/probes.h"
#include "coordinator/requests/client.h"
#include "coordinator/requests/client_request.h"
#include "coordinator/requests/inflight_table.h"
#include "coordinator/requests/placement.h"
#include "coordinator/route/router.h"

namespace lockstep {

// The forwarder's sending side towards the nodes.
class NodeLinks {
 public:
  virtual ~NodeLinks() = default;
  // Returns false when the node's link cannot take a message now.
  virtual bool send(NodeId node, const wire::Message& message) = 0;
};

struct ForwarderConfig {
  std::optional<uint64_t> seed = std::nullopt;  // for requests without a seed; absent = random
  size_t max_inflight = 16384;
  // Budget for the bytes that requests hold while they are in flight; null = no limit.
  std::shared_ptr<ByteBudget> bytes = nullptr;
  std::chrono::milliseconds request_timeout{3'600'000};  // from dispatch to the final message
  std::chrono::milliseconds cancel_timeout{10'000};      // from cancel to the node's final message
};

class Forwarder {
 public:
  Forwarder(const NodeTable& nodes, Router router, NodeLinks& links, const Clock& clock,
            CoordinatorProbes& probes, ForwarderConfig config);

  // Messages from clients. A refusal is delivered as an ErrorReply. A message with the request_id
  // of a live request is ignored if it is the same request (is_same_request), and refused as a
  // conflict otherwise.
  void submit(const Client& client, wire::Generate request);
  // The prompts of one HTTP request, at least one; the messages differ only in the prompt and in
  // their ids.
  void submit(const Client& client, std::vector<wire::Generate> prompts);
  void submit(const Client& client, wire::Tokenize request);
  void submit(const Client& client, wire::Detokenize request);
  void cancel(const std::string& client_key, const std::string& request_id);
  // The client disconnected: cancels all its requests and sends nothing more to it.
  void drop_client(const std::string& client_key);
  // The coordinator shuts down: every request is cancelled and gets its final message.
  void end_everything();

  // Messages and events from nodes.
  void on_node_message(NodeId node, wire::Message message);
  // The node sent a message that cannot be decoded. `upstream_id` is the request it is about, "" if
  // not even the id could be decoded. The request ends, because it is not known what was lost.
  void on_unreadable(NodeId node, const std::string& upstream_id, const Error& error);
  void on_heartbeat(NodeId node);  // to be called after NodeTable::on_heartbeat
  // The node is dead or has restarted, or the connection to it broke in between.
  void on_node_lost(NodeId node);

  // Ends the requests that exceed request_timeout or cancel_timeout. (The node enforces the
  // request's own deadline_ms.)
  void expire();
  // Refuses new requests from now on, because the coordinator shuts down.
  void begin_drain() { draining_ = true; }

  size_t n_inflight() const { return table_.size(); }
  void check_invariants() const { table_.check_invariants(); }

 private:
  void dispatch(const Client& client, ClientRequest request, size_t n_choices);
  void drop_request(Inflight& request);
  bool refuse_if_needed(const Client& client, const ClientRequest& request, size_t n_choices);
  bool answer_if_resent(const Client& client, ClientRequest& request);
  bool send_to_some_node(Inflight& request, NodeId& node);
  bool send_elsewhere(Inflight& request, std::string_view reason);

  void on_accepted(Inflight& request, wire::Accepted message);
  void on_tokens(NodeId node, wire::Tokens message);
  void on_done(Inflight& request, wire::Done message);
  void on_error(Inflight& request, Error error);
  void on_lost(Inflight& request);
  void on_reply(Inflight& request, wire::Message message);  // Tokenized or Detokenized
  void end_with_error(Inflight& request, Error error);
  void finish(Inflight& request, std::string_view outcome, wire::Message final_message);
  void refuse(const Client& client, const std::string& request_id, Error error);

  // constant after construction
  const NodeTable& nodes_;
  NodeLinks& links_;
  const Clock& clock_;
  CoordinatorProbes& probes_;
  const ForwarderConfig config_;
  const std::string id_prefix_;  // random; keeps the upstream ids of two processes distinct
  // I/O thread
  InflightTable table_;
  Placement placement_;
  SeedSource seeds_;
  uint64_t n_dispatched_ = 0;
  bool draining_ = false;
};

}  // namespace lockstep
