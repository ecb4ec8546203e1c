// Forwarder: takes requests from clients, gives each to a node, and relays what the node says until
// the request's one final message. Decides; sends only through NodeLinks and ReplySink. I/O thread
// only.
//
// - A request without a seed gets one here, so that it could be run again exactly; the prompts of
//   one request get the same, and number their choices through.
// - What no node could read (wire/codec/sendable.h) is refused, and so is what the bytes in flight
// have
//   no room for.
// - Towards a node every request has an id of ours; clients keep theirs.
// - Tokens are counted by absolute index per choice: what was already sent, or comes from an older
//   epoch or attempt, is dropped; a gap ends the request.
// - A request that its node refuses or loses before the client had any output goes to the next
//   candidate of the same fingerprint, to each node at most once. Only when none is left is the
//   client told, the refusal of a full node (overloaded) before others'. A request with which
//   kMaxNodesLost nodes were lost goes nowhere else: it may be the reason.
// - When a node is lost, the requests that had output end with an error. Their ids and seeds are
//   kept up to that moment, which is all that resuming them elsewhere needs.
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
#include "coordinator/requests/inflight_table.h"
#include "coordinator/requests/placement.h"
#include "coordinator/route/router.h"

namespace lockstep {

// The way to the nodes.
class NodeLinks {
 public:
  virtual ~NodeLinks() = default;
  // False when the node cannot take a message now.
  virtual bool send(NodeId node, const wire::Message& message) = 0;
};

struct ForwarderConfig {
  std::optional<uint64_t> seed = std::nullopt;  // of requests that bring none; absent = random
  size_t max_inflight = 16384;
  // What requests hold as long as they are in flight; null = as much as they like.
  std::shared_ptr<ByteBudget> bytes = nullptr;
  std::chrono::milliseconds request_timeout{3'600'000};  // from dispatch to the final message
  std::chrono::milliseconds cancel_timeout{10'000};      // from cancel to the node's final message
};

class Forwarder {
 public:
  Forwarder(const NodeTable& nodes, Router router, NodeLinks& links, const Clock& clock,
            CoordinatorProbes& probes, ForwarderConfig config);

  // From clients. Refusals are delivered as an ErrorReply. A generate that repeats a live
  // request_id is ignored if it is the same request, and refused as a conflict otherwise.
  void submit(const Client& client, wire::Generate request);
  // The prompts of one request, equal but for the prompt and their ids.
  void submit(const Client& client, std::vector<wire::Generate> prompts);
  void submit(const Client& client, wire::Tokenize request);
  void submit(const Client& client, wire::Detokenize request);
  void cancel(const std::string& client_key, const std::string& request_id);
  // The client is gone: cancels everything it has and sends it nothing more.
  void drop_client(const std::string& client_key);
  // The coordinator ends: every request is cancelled and gets its final message.
  void end_everything();

  // From nodes.
  void on_node_message(NodeId node, wire::Message message);
  // It said something about a request (by our id, or "" if not even that was readable) that nobody
  // can read: the request ends, as what it lacks from now on is not known.
  void on_unreadable(NodeId node, const std::string& upstream_id, const Error& error);
  void on_heartbeat(NodeId node);  // after the node table took it
  // It is dead, restarted, or the connection to it broke in between.
  void on_node_lost(NodeId node);

  // Ends what ran into its deadline.
  void expire();
  // From now on new requests are refused: the coordinator shuts down.
  void begin_drain() { draining_ = true; }

  size_t n_inflight() const { return table_.size(); }
  void check_invariants() const { table_.check_invariants(); }

 private:
  using Request = decltype(Inflight::request);

  void dispatch(const Client& client, Request request, size_t n_choices);
  void drop(Inflight& request);
  bool refuses(const Client& client, const Request& request, size_t n_choices);
  bool repeats(const Client& client, Request& request);
  Result<ByteHold> hold_bytes(const Request& request) const;
  bool send_to_some_node(Inflight& request, NodeId& node);
  bool send_elsewhere(Inflight& request, std::string_view reason);

  void on_accepted(Inflight& request, wire::Accepted message);
  void on_tokens(NodeId node, wire::Tokens message);
  void on_done(Inflight& request, wire::Done message);
  void on_error(Inflight& request, Error error);
  void on_lost(Inflight& request);
  void on_reply(Inflight& request, wire::Message message);  // the answer to a tokenize
  void end_with_error(Inflight& request, Error error);
  void finish(Inflight& request, std::string_view outcome, wire::Message final_message);
  void refuse(const Client& client, const std::string& request_id, Error error);

  // constant after construction
  const NodeTable& nodes_;
  NodeLinks& links_;
  const Clock& clock_;
  CoordinatorProbes& probes_;
  const ForwarderConfig config_;
  const std::string id_prefix_;  // tells this process's upstream ids from another's
  // I/O thread
  InflightTable table_;
  Placement placement_;
  SeedSource seeds_;
  uint64_t n_dispatched_ = 0;
  bool draining_ = false;
};

}  // namespace lockstep
