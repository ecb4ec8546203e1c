// Inflight: a client's request from its dispatch to its final message, with everything that is
// needed to run it again exactly from where the client's output stands: the request, its seed and
// the token ids of every choice. Plain data; I/O thread only.
//
// Attempt: one run of the request at one node. Attempts are numbered from 0, and each has an
// upstream id of its own, so that messages of an attempt that was given up find no request.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "common/memory/byte_budget.h"
#include "common/result.h"
#include "coordinator/prompts/prepared_prompt.h"
#include "coordinator/prompts/prompt_encoder.h"
#include "coordinator/requests/client.h"
#include "coordinator/requests/client_request.h"
#include "coordinator/requests/request_state.h"
#include "wire/messages.h"

namespace lockstep {

struct ChoiceProgress {
  std::vector<int32_t> ids;  // every output so far
  // Outputs that the client had before it sent the request to this coordinator. They are not
  // delivered again.
  uint32_t n_skipped = 0;
  std::optional<std::string> finish_reason;  // set once the choice has ended
  std::optional<Clock::TimePoint> last_token;
};

// A node that the request was sent to.
struct TriedNode {
  NodeId node{};
  uint64_t epoch = 0;
  friend bool operator==(const TriedNode&, const TriedNode&) = default;
};

struct Inflight {
  RequestState state = RequestState::kQueued;
  Client client;
  std::string request_id;  // chosen by the client, unique among the client's live requests
  ClientRequest request;
  std::string fingerprint;  // only nodes with this fingerprint may run the request; constant
  // Of a generation, once the ids of its prompt are known. It is then sent with these ids, and
  // `request` has no prompt any more.
  std::optional<PreparedPrompt> prompt;
  // While the prompt is being encoded, which `request` does not have meanwhile; the request is
  // queued and has no node.
  std::shared_ptr<const PromptJob> encoding;

  // The present attempt. Without a node, the request waits for one.
  std::optional<NodeId> node;
  uint64_t node_epoch = 0;
  std::string upstream_id;  // the request_id on the link to the node
  uint32_t attempt = 0;
  uint32_t n_attempts = 0;  // attempts begun; the next one has this number
  // Nodes that get no further attempt in this round, the present node last. A round ends when the
  // request has to wait for a node.
  std::vector<TriedNode> tried;

  // Lower bound of prompt and output tokens, as far as known before the prompt is tokenised; 0 =
  // the length does not matter.
  int64_t n_tokens_at_least = 0;
  bool refused_as_too_long = false;  // a node refused the length and raised n_tokens_at_least
  std::string route_receipt;         // of the last attempt, if the client wants it
  std::optional<Error> refusal;      // sent to the client if no other node takes the request

  bool accepted = false;   // some node accepted the request
  bool announced = false;  // Accepted was sent to the client
  bool begun = false;      // the client has had output
  bool cancelled = false;
  uint64_t n_prompt_tokens = 0;         // once accepted
  std::vector<ChoiceProgress> choices;  // [n]; empty for tokenize and detokenize

  // The last loss, until the client has output again.
  std::optional<LossCause> loss;
  Clock::TimePoint lost_at;
  // Nodes that may have been lost because of the request: one after the other, without
  // kOutputsOfProgress outputs in between.
  std::vector<TriedNode> suspected_losses;
  size_t length_at_loss = 0;  // longest_choice() at the last loss

  Clock::TimePoint started;
  Clock::TimePoint deadline;  // of request_timeout or cancel_timeout, not deadline_ms
  // Of queue_timeout or resume_timeout: set when the request had no node, until one accepts it.
  std::optional<Clock::TimePoint> node_deadline;
  Clock::TimePoint next_try;  // without a node: when the next round begins
  ByteHold bytes;  // share of the budget for bytes in flight; empty if there is no budget

  bool is_generate() const { return std::holds_alternative<wire::Generate>(request); }
  size_t n_outputs() const;       // over all choices
  size_t longest_choice() const;  // outputs of the choice that has the most
  bool has_finished() const;      // a generation all of whose choices have ended
};

// True if a client that sent the live request may send `request` as the same one
// (client_request.h).
bool is_same_request(ClientRequest request, const Inflight& live);

enum class TokenOrder {
  kNext,  // the message continues the choice exactly
  // All its tokens were received before, the choice has finished, or the message is from another
  // epoch or attempt.
  kStale,
  // Tokens before the message are missing, only some of its tokens were received before, or the
  // choice does not exist.
  kBroken
};
// Compares the position of a Tokens message with the outputs that were received before.
TokenOrder token_order(const Inflight& request, const wire::Tokens& tokens);

// What a node needs to know to continue the request: one entry per choice, or none if the request
// starts from its prompt.
std::vector<wire::EmittedChoice> emitted_of(const Inflight& request);

}  // namespace lockstep
