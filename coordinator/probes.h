// CoordinatorProbes: the coordinator's metrics, one function per event. probes.cpp names them and
// registers them with Prometheus; no other file of the coordinator includes prometheus. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

namespace prometheus {
class Registry;
}

namespace lockstep {

class CoordinatorProbes {
 public:
  explicit CoordinatorProbes(std::shared_ptr<prometheus::Registry> registry);
  ~CoordinatorProbes();

  using Duration = std::chrono::steady_clock::duration;
  // `state`: the request's state (coordinator/requests/request_state.h).
  void request_started(std::string_view state);
  void request_moved(std::string_view from_state, std::string_view to_state);
  // `outcome`: a finish_reason, an error code, or "disconnected".
  void request_finished(std::string_view outcome, std::string_view state, Duration end_to_end);
  void request_refused(std::string_view error_code);
  // The request's node died, restarted or was disconnected. request_finished() counts the request
  // too.
  void request_lost();
  // The request was sent to another node before it had output. `reason` is what happened at the
  // previous node: "refused" or "lost"; "waited" if there was none.
  void request_resent(std::string_view reason);
  // A stream left its node. `cause`: a LossCause; `outcome`: "resumed", "failed" or "abandoned"
  // (by the client); `duration`: from the loss to the next output or to the end.
  void stream_resumed(std::string_view cause, std::string_view outcome, Duration duration);
  // `n_tokens` that a node sampled did not reach the client. `cause`: a Waste.
  void wasted_tokens(std::string_view cause, uint64_t n_tokens);
  // A client brought a resume token, or a position, that does not fit. `reason` is a ResumeFault.
  void resume_token_refused(std::string_view reason);
  // What became of a new generation's prompt: a PromptOutcome.
  void prompt_prepared(std::string_view outcome);
  // A prompt was rendered and tokenised.
  void tokenized(Duration duration);
  void usage(uint64_t prompt_tokens, uint64_t cached_tokens);
  void first_token(Duration since_start);
  // `n_tokens` tokens arrived `gap` after the previous ones.
  void more_tokens(uint64_t n_tokens, Duration gap);
  void tokens_sent(uint64_t n_tokens);
  void stale_tokens_dropped();
  void http_response(int status);
  void nodes(std::string_view state, int64_t n);
  // Total number of nodes that were given up for their silence and came back as the same process.
  void false_suspicions(uint64_t n);
  // What the prefix index knows of the node with this endpoint: its blocks, the batches that are
  // published and not applied, and the total of live batches that were dropped.
  void index_node(std::string_view node, uint64_t n_blocks, uint64_t n_batches_behind,
                  uint64_t n_dropped);
  // Total number of replays and snapshots requested from the node for `cause` (a KvResyncCause).
  void index_resyncs(std::string_view node, std::string_view cause, uint64_t n);
  // A generation request was sent to a node. `policy` is a RoutingPolicy, `reason` a RouteReason.
  void route_decision(std::string_view policy, std::string_view reason);
  // Number of different fingerprints among the nodes that serve `model`.
  void model_fingerprints(std::string_view model, int64_t n);

 private:
  struct Metrics;
  const std::unique_ptr<Metrics> metrics_;
};

}  // namespace lockstep
