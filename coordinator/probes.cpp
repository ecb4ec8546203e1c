#include "coordinator/probes.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "common/error_code.h"

namespace lockstep {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

// A counter whose total is counted elsewhere.
void set_total(Counter& counter, uint64_t total) {
  counter.Increment(static_cast<double>(total) - counter.Value());
}

double seconds(CoordinatorProbes::Duration d) { return std::chrono::duration<double>(d).count(); }

// Bucket bounds in seconds: those of vLLM, and finer ones below 10 ms.
const Histogram::BucketBoundaries kFirstToken = {.001, .0025, .005, .01, .02, .04, .06, .08,
                                                 .1,   .25,   .5,   .75, 1,   2.5, 5,   7.5,
                                                 10,   20,    40,   80,  160, 640, 2560};
const Histogram::BucketBoundaries kBetweenTokens = {.001, .002, .004, .006, .008, .01, .015, .025,
                                                    .05,  .075, .1,   .15,  .2,   .3,  .4,   .5,
                                                    .75,  1,    2.5,  5,    7.5,  10,  20,   40};
const Histogram::BucketBoundaries kEndToEnd = {.01, .04, .1,  .3,  .5,  .8,  1,    1.5,
                                               2,   2.5, 5,   10,  15,  20,  30,   40,
                                               50,  60,  120, 240, 480, 960, 1920, 7680};

// These series exist from the start, so that their rates begin at 0 and a first failure is an
// increase.
constexpr std::array<std::string_view, 7> kOutcomes = {
    "stop",    "length", "cancelled", "disconnected", "decode_failed", "deadline_exceeded",
    "internal"};
constexpr std::array<std::string_view, 4> kRequestStates = {"queued", "placed", "running",
                                                            "resuming"};
constexpr std::array kLossCauses = {"lost", "stall", "drain", "gap"};
constexpr std::array kResumeOutcomes = {"resumed", "failed", "abandoned"};
constexpr std::array<std::string_view, 6> kWastes = {"zombie",    "disconnected", "ended",
                                                     "duplicate", "replay",       "attach"};
constexpr std::array<std::string_view, 3> kResendReasons = {"refused", "lost", "waited"};
constexpr std::array<std::string_view, 2> kPromptSources = {"computed", "cached"};
constexpr std::array kRefusals = {ErrorCode::kInvalidRequest, ErrorCode::kModelNotFound,
                                  ErrorCode::kConflict, ErrorCode::kOverloaded,
                                  ErrorCode::kNoNodeReady};

constexpr std::array<std::string_view, 6> kResumeFaults = {"malformed", "version",     "forged",
                                                           "body",      "fingerprint", "position"};

constexpr std::array<std::string_view, 6> kPromptOutcomeNames = {
    "encoded", "ids", "text_no_model", "text_busy", "text_refused", "text_too_large"};
const Histogram::BucketBoundaries kTokenize = {.00001, .000025, .00005, .0001, .00025, .0005,
                                               .001,   .0025,   .005,   .01,   .025,   .05,
                                               .1,     .25,     .5,     1,     2.5,    5};

// Labelled: a family with one label, and its metrics for the label's known values, so that finding
// one of these takes neither the family's lock nor a set of labels. Any thread.
template <class Metric>
class Labelled {
 public:
  template <class Values>
  Labelled(prometheus::Family<Metric>& family, const char* label, const Values& known)
      : family_(family), label_(label) {
    for (const auto& value : known) metrics_.emplace_back(value, &add(value));
  }
  Metric& of(std::string_view value) const {
    const auto known = std::find_if(metrics_.begin(), metrics_.end(),
                                    [&](const auto& entry) { return entry.first == value; });
    return known != metrics_.end() ? *known->second : add(value);
  }

 private:
  Metric& add(std::string_view value) const { return family_.Add({{label_, std::string(value)}}); }

  // constant after construction
  prometheus::Family<Metric>& family_;
  const char* const label_;
  std::vector<std::pair<std::string_view, Metric*>> metrics_;  // the texts are literals
};

// Labels come from closed sets: an unknown outcome that a node sends is counted as "other".
std::string_view outcome_label(std::string_view outcome) {
  const bool known = std::find(kOutcomes.begin(), kOutcomes.end(), outcome) != kOutcomes.end() ||
                     error_code_from_string(outcome).has_value();
  return known ? outcome : "other";
}

}  // namespace

struct CoordinatorProbes::Metrics {
  explicit Metrics(std::shared_ptr<prometheus::Registry> owner)
      : registry(std::move(owner)),
        outcomes(counters("requests_total", "Requests that ended, by how they ended"), "outcome",
                 kOutcomes),
        refusals(counters("requests_refused_total", "Requests that no node got, by error code")),
        resent(counters("requests_resent_total",
                        "Requests sent to another node before they had output, by what became of "
                        "them at the one before"),
               "reason", kResendReasons),
        http(counters("http_responses_total", "HTTP responses, by status")),
        prompt(counters("prompt_tokens_total", "Prompt tokens of finished requests, by source"),
               "source", kPromptSources),
        prompts(counters("prompts_total",
                         "Prompts of new requests: tokenised here, sent by the client as ids, or "
                         "left to the node as text, by reason"),
                "outcome", kPromptOutcomeNames),
        running(gauge("requests_running", "Requests that have not ended").Add({})),
        states(gauge("requests", "Requests that have not ended, by state"), "state",
               kRequestStates),
        node_states(gauge("nodes", "Nodes by state")),
        fingerprints(prometheus::BuildGauge()
                         .Name("lockstep_model_fingerprints")
                         .Help("Different fingerprints among the nodes that serve a model")
                         .Register(*registry)),
        resumes(prometheus::BuildCounter()
                    .Name("lockstep_stream_resumes_total")
                    .Help("Streams that left their node, by cause, and what became of them")
                    .Register(*registry)),
        wasted(prometheus::BuildCounter()
                   .Name("lockstep_wasted_tokens_total")
                   .Help("Tokens that nodes sampled and clients did not get, by cause")
                   .Register(*registry),
               "cause", kWastes),
        resume_refusals(prometheus::BuildCounter()
                            .Name("lockstep_resume_tokens_refused_total")
                            .Help("Resume tokens of clients that were refused, by reason")
                            .Register(*registry),
                        "reason", kResumeFaults),
        resume_seconds(prometheus::BuildHistogram()
                           .Name("lockstep_resume_seconds")
                           .Help("From the loss of a stream's node to its next output")
                           .Register(*registry)
                           .Add({}, kFirstToken)),
        index_blocks(prometheus::BuildGauge()
                         .Name("lockstep_index_blocks")
                         .Help("KV blocks of a node in the coordinator's prefix index")
                         .Register(*registry)),
        index_lag(prometheus::BuildGauge()
                      .Name("lockstep_index_lag_batches")
                      .Help("Batches of KV events that a node has published and the prefix index "
                            "has not applied")
                      .Register(*registry)),
        index_resyncs(prometheus::BuildCounter()
                          .Name("lockstep_index_resyncs_total")
                          .Help("Replays and snapshots of KV events requested from a node, by "
                                "cause")
                          .Register(*registry)),
        index_dropped(prometheus::BuildCounter()
                          .Name("lockstep_index_dropped_batches_total")
                          .Help("Live batches of KV events of no use to the prefix index")
                          .Register(*registry)),
        routes(prometheus::BuildCounter()
                   .Name("lockstep_route_decisions_total")
                   .Help("Generation requests sent to a node, by routing policy and by why that "
                         "node was chosen")
                   .Register(*registry)),
        generated(counters("generation_tokens_total", "Tokens sent to clients").Add({})),
        stale(counters("stale_tokens_total", "Token messages dropped as duplicates or zombies")
                  .Add({})),
        false_suspicions(counters("false_suspicions_total",
                                  "Nodes given up for their silence that came back as the same "
                                  "process")
                             .Add({})),
        lost(counters("requests_lost_total", "Requests that ended because their node was lost")
                 .Add({})),
        ttft(histogram("time_to_first_token_seconds", "Dispatch to first token", kFirstToken)),
        itl(histogram("inter_token_seconds", "Between two tokens of a choice", kBetweenTokens)),
        e2e(histogram("request_seconds", "Dispatch to the final message", kEndToEnd)),
        tokenize(histogram("tokenize_seconds", "To render and tokenise a prompt", kTokenize)) {
    for (ErrorCode code : kRefusals) refusals.Add({{"code", std::string(to_string(code))}});
    for (const char* cause : kLossCauses) {
      for (const char* outcome : kResumeOutcomes)
        resumes.Add({{"cause", cause}, {"outcome", outcome}});
    }
  }

  prometheus::Family<Counter>& counters(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter()
        .Name("lockstep_coordinator_" + name)
        .Help(help)
        .Register(*registry);
  }
  prometheus::Family<Gauge>& gauge(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge()
        .Name("lockstep_coordinator_" + name)
        .Help(help)
        .Register(*registry);
  }
  Histogram& histogram(const std::string& name, const std::string& help,
                       const Histogram::BucketBoundaries& buckets) {
    return prometheus::BuildHistogram()
        .Name("lockstep_coordinator_" + name)
        .Help(help)
        .Register(*registry)
        .Add({}, buckets);
  }

  const std::shared_ptr<prometheus::Registry> registry;
  Labelled<Counter> outcomes;
  prometheus::Family<Counter>& refusals;
  Labelled<Counter> resent;
  prometheus::Family<Counter>& http;
  Labelled<Counter> prompt, prompts;
  Gauge& running;
  Labelled<Gauge> states;
  prometheus::Family<Gauge>&node_states, &fingerprints;
  prometheus::Family<Counter>& resumes;
  Labelled<Counter> wasted, resume_refusals;
  Histogram& resume_seconds;
  prometheus::Family<Gauge>&index_blocks, &index_lag;
  prometheus::Family<Counter>&index_resyncs, &index_dropped, &routes;
  Counter &generated, &stale, &false_suspicions, &lost;
  Histogram &ttft, &itl, &e2e, &tokenize;
};

CoordinatorProbes::CoordinatorProbes(std::shared_ptr<prometheus::Registry> registry)
    : metrics_(std::make_unique<Metrics>(std::move(registry))) {}
CoordinatorProbes::~CoordinatorProbes() = default;

void CoordinatorProbes::request_started(std::string_view state) {
  metrics_->running.Increment();
  metrics_->states.of(state).Increment();
}

void CoordinatorProbes::request_moved(std::string_view from_state, std::string_view to_state) {
  metrics_->states.of(from_state).Decrement();
  metrics_->states.of(to_state).Increment();
}

void CoordinatorProbes::request_finished(std::string_view outcome, std::string_view state,
                                         Duration end_to_end) {
  metrics_->running.Decrement();
  metrics_->states.of(state).Decrement();
  metrics_->outcomes.of(outcome_label(outcome)).Increment();
  metrics_->e2e.Observe(seconds(end_to_end));
}

void CoordinatorProbes::request_refused(std::string_view error_code) {
  metrics_->refusals.Add({{"code", std::string(error_code)}}).Increment();
}

void CoordinatorProbes::request_lost() { metrics_->lost.Increment(); }

void CoordinatorProbes::request_resent(std::string_view reason) {
  metrics_->resent.of(reason).Increment();
}

void CoordinatorProbes::stream_resumed(std::string_view cause, std::string_view outcome,
                                       Duration duration) {
  metrics_->resumes.Add({{"cause", std::string(cause)}, {"outcome", std::string(outcome)}})
      .Increment();
  if (outcome == "resumed") metrics_->resume_seconds.Observe(seconds(duration));
}

void CoordinatorProbes::wasted_tokens(std::string_view cause, uint64_t n_tokens) {
  metrics_->wasted.of(cause).Increment(static_cast<double>(n_tokens));
}

void CoordinatorProbes::resume_token_refused(std::string_view reason) {
  metrics_->resume_refusals.of(reason).Increment();
}

void CoordinatorProbes::prompt_prepared(std::string_view outcome) {
  metrics_->prompts.of(outcome).Increment();
}

void CoordinatorProbes::tokenized(Duration duration) {
  metrics_->tokenize.Observe(seconds(duration));
}

void CoordinatorProbes::usage(uint64_t prompt_tokens, uint64_t cached_tokens) {
  const uint64_t n_computed = prompt_tokens - std::min(cached_tokens, prompt_tokens);
  metrics_->prompt.of("computed").Increment(static_cast<double>(n_computed));
  metrics_->prompt.of("cached").Increment(static_cast<double>(cached_tokens));
}

void CoordinatorProbes::first_token(Duration since_start) {
  metrics_->ttft.Observe(seconds(since_start));
}

void CoordinatorProbes::more_tokens(uint64_t n_tokens, Duration gap) {
  for (uint64_t i = 0; i < n_tokens; ++i)
    metrics_->itl.Observe(seconds(gap) / static_cast<double>(n_tokens));
}

void CoordinatorProbes::tokens_sent(uint64_t n_tokens) {
  metrics_->generated.Increment(static_cast<double>(n_tokens));
}

void CoordinatorProbes::stale_tokens_dropped() { metrics_->stale.Increment(); }

void CoordinatorProbes::http_response(int status) {
  metrics_->http.Add({{"code", std::to_string(status)}}).Increment();
}

void CoordinatorProbes::route_decision(std::string_view policy, std::string_view reason) {
  metrics_->routes.Add({{"policy", std::string(policy)}, {"reason", std::string(reason)}})
      .Increment();
}

void CoordinatorProbes::model_fingerprints(std::string_view model, int64_t n) {
  metrics_->fingerprints.Add({{"model", std::string(model)}}).Set(static_cast<double>(n));
}

void CoordinatorProbes::false_suspicions(uint64_t n) { set_total(metrics_->false_suspicions, n); }

void CoordinatorProbes::index_node(std::string_view node, uint64_t n_blocks,
                                   uint64_t n_batches_behind, uint64_t n_dropped) {
  const prometheus::Labels labels = {{"node", std::string(node)}};
  metrics_->index_blocks.Add(labels).Set(static_cast<double>(n_blocks));
  metrics_->index_lag.Add(labels).Set(static_cast<double>(n_batches_behind));
  set_total(metrics_->index_dropped.Add(labels), n_dropped);
}

void CoordinatorProbes::index_resyncs(std::string_view node, std::string_view cause, uint64_t n) {
  set_total(
      metrics_->index_resyncs.Add({{"node", std::string(node)}, {"cause", std::string(cause)}}), n);
}

void CoordinatorProbes::nodes(std::string_view state, int64_t n) {
  metrics_->node_states.Add({{"state", std::string(state)}}).Set(static_cast<double>(n));
}

}  // namespace lockstep
