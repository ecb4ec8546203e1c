// RequestLifecycle: moves requests through their states (request_state.h): it sends a request to a
// node, to the next node when a node refuses it, and to another node when its node is lost, and it
// ends the request. It sends only through NodeLinks and ReplySink. I/O thread only.
//
// - Prompt: a new request is placed once its prompt is prepared (prompt_preparer.h). While a long
//   prompt is being encoded, the request is queued.
// - Refusal: a request that a node refuses for the node's state or the request's length
//   (refusal.h) goes to the next candidate of its fingerprint (placement.h). Each node gets the
//   request at most once in a round. A request that was accepted before then waits for the next
//   round; any other request is refused with what keep_refusal() kept.
// - Loss: a request whose node is lost continues at another node with the outputs that the client
//   has (emitted_of). Without a candidate, it waits for resume_timeout if it was accepted, else for
//   queue_timeout. A node that restarted is a candidate again.
// - Poison: a request during which kMaxLosses (2) nodes were lost, without kOutputsOfProgress (8)
//   outputs of a choice in between, is sent to no further node, because it may be the cause. A node
//   that drains, whose message was lost, or that comes back as the same process is not counted.
// - Move: a request leaves a node that drains or stalls only when another node takes it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "coordinator/cluster/node_table.h"
#include "coordinator/probes.h"
#include "coordinator/requests/attempt_sender.h"
#include "coordinator/requests/forwarder_config.h"
#include "coordinator/requests/given_up_attempts.h"
#include "coordinator/requests/inflight_table.h"
#include "coordinator/requests/node_links.h"
#include "coordinator/requests/placement.h"
#include "coordinator/requests/prompt_preparer.h"

namespace lockstep {

constexpr std::string_view kCancelledReason = "cancelled";  // a finish_reason

class RequestLifecycle {
 public:
  RequestLifecycle(const NodeTable& nodes, Router router, NodeLinks& links, const Clock& clock,
                   CoordinatorProbes& probes, const ForwarderConfig& config,
                   PromptEncoder* encoder);

  InflightTable& table() { return table_; }
  const InflightTable& table() const { return table_; }
  const GivenUpAttempts& given_up() const { return given_up_; }

  // Prepares the prompt of a new request, then places the request or lets it wait for a node.
  // Returns false, and forgets the request, if it is known at once that no node takes it and it
  // must not wait.
  bool begin(std::unique_ptr<Inflight> request);
  // The node accepted the present attempt.
  void accept(Inflight& request);
  // Output was delivered to the client.
  void count_output(Inflight& request);
  // The node refused the present attempt, or ended it with an error. Afterwards `request` may be
  // destroyed, as after each of the following functions.
  void on_error(Inflight& request, Error error);
  // The request's node is lost, or what it sent is.
  void lose(Inflight& request, LossCause cause);
  // Sends the request to another node and cancels it at the present one. Does nothing if no other
  // node takes it.
  void move(Inflight& request, LossCause cause);

  void cancel(Inflight& request);
  // The client disconnected: ends the request without a final message.
  void drop(Inflight& request);
  // `outcome`: a finish_reason or an error code.
  void finish(Inflight& request, std::string_view outcome, wire::Message final_message);
  void end_with_error(Inflight& request, Error error);

  // Sends requests without a node to one. To be called several times per second.
  void retry();
  // Ends the requests that exceed one of their time limits.
  void expire();

  void on_heartbeat(NodeId node) { placement_.on_heartbeat(node); }
  void on_node_lost(NodeId node) { placement_.on_node_lost(node); }
  // The node is present again, or for the first time.
  void on_node_present(NodeId node);

 private:
  bool send(Inflight& request);
  void wait_for_prompt(Inflight& request);
  void on_prepared(Inflight& request);
  void wait_for_node(Inflight& request);
  void give_up_attempt(Inflight& request, Waste cause);
  void end_without_node(Inflight& request);
  void finish_completed(Inflight& request);
  bool is_poison(Inflight& request, const TriedNode& lost, LossCause cause);
  void record_loss(Inflight& request, LossCause cause);
  void record_resume_end(Inflight& request, std::string_view outcome);
  void transition(Inflight& request, RequestState to);

  // constant after construction
  const NodeTable& nodes_;
  NodeLinks& links_;
  const Clock& clock_;
  CoordinatorProbes& probes_;
  const ForwarderConfig config_;
  // I/O thread
  InflightTable table_;
  Placement placement_;
  AttemptSender sender_;
  PromptPreparer prompts_;
  GivenUpAttempts given_up_;
};

}  // namespace lockstep
