// Forwarder: forwards each client request to a node, and forwards the node's messages back to the
// client until the request's one final message. It opens no sockets: it sends only through
// NodeLinks and ReplySink. I/O thread only: the thread that owns all ZeroMQ sockets.
//
// - Seed: a request without a seed gets one here, so that the request can be run again exactly. The
//   prompts of one request get the same seed, and their choices are numbered consecutively
//   (choice_numbers.h).
// - Refusal: a request is refused if its n is out of range, if no node could decode it, if it
//   exceeds max_inflight or the budget for bytes in flight (request_bytes.h), if no node serves its
//   model, or during a drain.
// - States: request_lifecycle.h sends the request to its nodes, one after the other if need be.
// - Ids: on the link to a node, every attempt of a request has an id that the coordinator generates
//   (the upstream id, "upstream" meaning towards the node). The client's own id is used towards the
//   client only.
// - Token order (inflight.h): tokens are counted by their absolute index within the choice. Tokens
//   that were received before, or that come from another epoch or attempt, are dropped. After a gap
//   the request continues at another node.
#pragma once

#include <string>
#include <vector>

#include "common/clock.h"
#include "common/seed_source.h"
#include "coordinator/cluster/node_table.h"
#include "coordinator/probes.h"
#include "coordinator/requests/client.h"
#include "coordinator/requests/client_request.h"
#include "coordinator/requests/forwarder_config.h"
#include "coordinator/requests/node_links.h"
#include "coordinator/requests/request_lifecycle.h"
#include "coordinator/route/router.h"

namespace lockstep {

class Forwarder {
 public:
  // `encoder`: null = every prompt is sent as it came.
  Forwarder(const NodeTable& nodes, Router router, NodeLinks& links, const Clock& clock,
            CoordinatorProbes& probes, ForwarderConfig config, PromptEncoder* encoder = nullptr);

  // Messages from clients. A refusal is delivered as an ErrorReply. A message with the request_id
  // of a live request is ignored if it is the same request (is_same_request), and refused as a
  // conflict otherwise.
  void submit(const Client& client, wire::Generate request);
  // The prompts of one HTTP request, at least one; the messages differ only in the prompt and in
  // their ids. Only nodes with `required_fingerprint` run them, "" = that of new requests; if no
  // node serves the model with it, they are refused as a conflict in the field "resume_token".
  void submit(const Client& client, std::vector<wire::Generate> prompts,
              const std::string& required_fingerprint = "");
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
  // not even the id could be decoded. The request ends, because another node would send the same.
  void on_unreadable(NodeId node, const std::string& upstream_id, const Error& error);
  // To be called after NodeTable::on_heartbeat. Requests leave a node that drains or is stalled.
  void on_heartbeat(NodeId node);
  // The node is present again, as the same process or another one.
  void on_node_present(NodeId node) { lifecycle_.on_node_present(node); }
  // The node is dead or has restarted, or the connection to it broke in between.
  void on_node_lost(NodeId node);

  // Places requests that wait for a node, and ends the requests that exceed a time limit. (The node
  // enforces the request's own deadline_ms.) To be called several times per second.
  void tick();
  // Refuses new requests from now on, because the coordinator shuts down.
  void begin_drain() { draining_ = true; }

  size_t n_inflight() const { return lifecycle_.table().size(); }
  void check_invariants() const { lifecycle_.table().check_invariants(); }

 private:
  void submit(const Client& client, wire::Generate request,
              const std::string& required_fingerprint);
  void dispatch(const Client& client, ClientRequest request, size_t n_choices,
                const std::string& required_fingerprint = "");
  bool refuse_if_needed(const Client& client, const ClientRequest& request, size_t n_choices,
                        const std::string& required_fingerprint);
  bool answer_if_resent(const Client& client, ClientRequest& request);
  void refuse(const Client& client, const std::string& request_id, Error error);

  void on_accepted(Inflight& request, wire::Accepted message);
  void on_tokens(NodeId node, wire::Tokens message);
  void on_done(Inflight& request, wire::Done message);
  void on_reply(Inflight& request, wire::Message message);  // Tokenized or Detokenized
  void drop_stale(NodeId node, const wire::Tokens& message);
  void end_beyond(Inflight& request, uint32_t choice);
  void record_tokens(Inflight& request, const wire::Tokens& message);

  // constant after construction
  const NodeTable& nodes_;
  NodeLinks& links_;
  const Clock& clock_;
  CoordinatorProbes& probes_;
  const ForwarderConfig config_;
  // I/O thread
  RequestLifecycle lifecycle_;
  SeedSource seeds_;
  bool draining_ = false;
};

}  // namespace lockstep
