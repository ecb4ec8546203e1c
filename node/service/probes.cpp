#include "node/service/probes.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <utility>

#include "common/error_code.h"
#include "common/version.h"

namespace lockstep {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

// vLLM's bounds with a finer start, so that boards made for vLLM can show these histograms.
const prometheus::Histogram::BucketBoundaries kFirstTokenSeconds = {
    .001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
    1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
const prometheus::Histogram::BucketBoundaries kInterTokenSeconds = {
    .001, .002, .004, .006, .008, .01, .015, .025, .05, .075, .1, .15, .2,
    .3,   .4,   .5,   .75,  1,    2.5, 5,    7.5,  10,  20,   40, 80};

double seconds(NodeProbes::Duration d) { return std::chrono::duration<double>(d).count(); }

// Metric families made from a snapshot, in the order of their addition.
class SnapshotFamilies {
 public:
  void counter(const std::string& name, const std::string& help, uint64_t value) {
    begin(name, help, MetricType::Counter);
    add(static_cast<double>(value), {});
  }
  void gauge(const std::string& name, const std::string& help, double value) {
    begin(name, help, MetricType::Gauge);
    add(value, {});
  }
  void begin(const std::string& name, const std::string& help, MetricType type) {
    MetricFamily family;
    family.name = "lockstep_" + name;
    family.help = help;
    family.type = type;
    families_.push_back(std::move(family));
  }
  void add(double value, std::vector<prometheus::ClientMetric::Label> labels) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = value;
    metric.gauge.value = value;
    families_.back().metric.push_back(std::move(metric));
  }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

void add_host_blocks(SnapshotFamilies& out,
                     const std::array<int32_t, kNHostBlockStates>& n_blocks) {
  static constexpr std::array<const char*, kNHostBlockStates> kStates = {"free", "cached", "pinned",
                                                                         "quarantined"};
  for (size_t state = 0; state < n_blocks.size(); ++state) {
    out.add(n_blocks[state], {{"tier", "host"}, {"state", kStates[state]}});
  }
}

// A row with a NaN or Inf fails at once, and so does a resume; these causes have no retries.
void add_decode_failures(SnapshotFamilies& out, const DecodeFailures& failures) {
  out.begin("decode_failures_total",
            "Failures while decoding, by cause: steps rolled back and retried, requests failed.",
            MetricType::Counter);
  for (size_t i = 0; i < kNumDecodeFailureCauses; ++i) {
    const auto cause = static_cast<DecodeFailureCause>(i);
    const auto add = [&](const char* outcome, uint64_t n) {
      out.add(static_cast<double>(n),
              {{"cause", std::string(to_string(cause))}, {"outcome", outcome}});
    };
    const bool fails_at_once =
        cause == DecodeFailureCause::kNonfinite || cause == DecodeFailureCause::kResumeMismatch;
    if (!fails_at_once) add("retried", failures.n_retried[i]);
    add("failed", failures.n_failed[i]);
  }
}

// All zero until the node has measured enough steps.
void add_step_costs(SnapshotFamilies& out, const std::optional<StepCosts>& measured) {
  const StepCosts costs = measured.value_or(StepCosts{});
  out.begin("step_time_coefficient_seconds",
            "What a step costs, as fitted to the latest steps (docs/wire-protocol.md, heartbeat).",
            MetricType::Gauge);
  out.add(costs.base, {{"term", "base"}});
  out.add(costs.prompt_token, {{"term", "prompt_token"}});
  out.add(costs.prompt_context, {{"term", "prompt_context"}});
  out.add(costs.sequence, {{"term", "sequence"}});
  out.add(costs.context, {{"term", "context"}});
}

void add_engine(SnapshotFamilies& out, const EngineSnapshot& s) {
  out.begin("prompt_tokens_total", "Prompt tokens of admitted requests, by where they came from.",
            MetricType::Counter);
  out.add(static_cast<double>(s.n_cached_tokens), {{"source", "cached"}});
  out.add(static_cast<double>(s.n_prompt_tokens - s.n_cached_tokens), {{"source", "computed"}});
  out.counter("prefix_cache_lookup_tokens_total", "Tokens looked up in the prefix cache.",
              s.n_lookup_tokens);
  out.counter("prefix_cache_hit_tokens_total", "Tokens looked up and found in the prefix cache.",
              s.n_hit_tokens);
  out.counter("generation_tokens_total", "Output tokens, over all choices.", s.n_output_tokens);
  out.counter("engine_steps_total", "Engine steps run.", s.n_steps);
  out.counter("engine_query_rows_total", "Attention rows run: prompt and output tokens computed.",
              s.n_query_rows);
  out.begin("kv_invariant_violations_total", "Wrong accounts found; 0 unless there is a bug.",
            MetricType::Counter);
  for (size_t i = 0; i < s.n_violations.size(); ++i) {
    out.add(static_cast<double>(s.n_violations[i]), {{"rule", std::to_string(i + 1)}});
  }
  out.gauge("sequences_running", "Sequences that hold KV blocks.", s.n_running);
  out.gauge("sequences_waiting", "Sequences that wait for their turn.", s.n_waiting);
  out.gauge("prompt_tokens_pending",
            "Prompt tokens still to be computed, of running and waiting sequences.",
            static_cast<double>(s.n_prompt_tokens_pending));
  out.gauge("context_tokens", "Tokens of context of the sequences that decode.",
            static_cast<double>(s.n_context_tokens));
  add_step_costs(out, s.step_costs);
  out.begin("kv_blocks", "KV blocks by tier and state; the states of a tier sum to its pool.",
            MetricType::Gauge);
  // A reservation takes free blocks first, and then cached ones, which are evicted.
  const int32_t n_reserved_free = std::min(s.n_blocks_reserved, s.n_blocks_free);
  out.add(s.n_blocks_free - n_reserved_free, {{"tier", "device"}, {"state", "free"}});
  out.add(s.n_blocks_cached - (s.n_blocks_reserved - n_reserved_free),
          {{"tier", "device"}, {"state", "cached"}});
  out.add(s.n_blocks_reserved, {{"tier", "device"}, {"state", "reserved"}});
  out.add(s.n_blocks_active, {{"tier", "device"}, {"state", "active"}});
  add_host_blocks(out, s.n_host_blocks);
  const double used = s.n_blocks_total > 0 ? double(s.n_blocks_active) / s.n_blocks_total : 0;
  out.gauge("kv_cache_usage_ratio", "Part of the KV pool in use, 0 to 1.", used);
  out.begin("kv_evictions_total", "Cached KV blocks evicted, by tier and cause.",
            MetricType::Counter);
  out.add(static_cast<double>(s.n_blocks_evicted), {{"tier", "device"}, {"cause", "room"}});
  out.add(static_cast<double>(s.n_host_evicted), {{"tier", "host"}, {"cause", "room"}});
  out.begin("kv_blocks_not_indexed_total",
            "KV blocks not kept because too many hash alike: 0 unless prompts are made to.",
            MetricType::Counter);
  out.add(static_cast<double>(s.n_not_indexed), {{"tier", "device"}});
  out.add(static_cast<double>(s.n_host_not_indexed), {{"tier", "host"}});
  out.begin("kv_transfers_total", "KV blocks copied to host memory (store) and back (load).",
            MetricType::Counter);
  out.add(static_cast<double>(s.n_host_stored), {{"direction", "store"}});
  out.add(static_cast<double>(s.n_host_loaded), {{"direction", "load"}});
  out.counter("kv_host_mismatches_total",
              "KV blocks in host memory that failed their checksum and were computed again.",
              s.n_host_bad);
  out.counter("kv_evict_regret_tokens_total",
              "Tokens computed again whose KV blocks had been evicted, as far as remembered.",
              s.n_regret_tokens);
  out.begin("preemptions_total", "Sequences that gave up their KV blocks and waited, by cause.",
            MetricType::Counter);
  out.add(static_cast<double>(s.n_preemptions), {{"cause", "kv_blocks"}});
  out.begin("recomputed_tokens_total", "Tokens computed once more, by cause.", MetricType::Counter);
  out.add(static_cast<double>(s.n_recomputed_tokens), {{"cause", "preemption"}});
  out.add(static_cast<double>(s.n_tokens_after_shift), {{"cause", "context_shift"}});
  out.add(static_cast<double>(s.n_tokens_not_loaded), {{"cause", "host_memory"}});
  out.add(static_cast<double>(s.n_resumed_tokens), {{"cause", "resume"}});
  out.counter("resume_mismatches_total",
              "Requests that failed because a resumed output was not sampled as it was emitted.",
              s.decode_failures.n_failed_of(DecodeFailureCause::kResumeMismatch));
  out.counter("context_shifts_total",
              "Contexts that were full and went on with a part of their tokens.",
              s.n_context_shifts);
  add_decode_failures(out, s.decode_failures);
}

void add_events(SnapshotFamilies& out, const BlockEventCounts& n) {
  out.begin("kv_events_total", "Blocks in published KV events, by what became of them.",
            MetricType::Counter);
  out.add(static_cast<double>(n.n_stored), {{"type", "stored"}});
  out.add(static_cast<double>(n.n_removed), {{"type", "removed"}});
  out.counter("kv_event_batches_total", "Batches of KV events, dropped ones included.",
              n.n_batches);
  out.counter("kv_event_batches_dropped_total",
              "Batches dropped before they were published, because the node was too busy.",
              n.n_batches_dropped);
}

// A row for each rank and place that holds bytes under the tag, a row of 0 for each rank that held
// some, and a row without a rank for what no rank holds. A tag that nothing ever held has one row.
void add_memory(SnapshotFamilies& out, const MemoryLedger& ledger, MemoryTag tag) {
  constexpr std::array kPlaces{MemoryPlace::kHost, MemoryPlace::kDevice};
  bool has_row = false;
  const auto add = [&](int64_t n_bytes, MemoryPlace place, const std::string& rank) {
    has_row = true;
    out.add(static_cast<double>(n_bytes), {{"tag", std::string(to_string(tag))},
                                           {"place", std::string(to_string(place))},
                                           {"rank", rank}});
  };
  const std::vector<const MemoryLedger*> ranks = ledger.ranks();
  for (size_t i = 0; i < ranks.size(); ++i) {
    const std::string rank = std::to_string(i);
    int64_t n_bytes = 0;
    for (const MemoryPlace place : kPlaces) {
      const int64_t n_bytes_there = ranks[i]->bytes(tag, place);
      if (n_bytes_there > 0) add(n_bytes_there, place, rank);
      n_bytes += n_bytes_there;
    }
    if (n_bytes == 0 && ranks[i]->peak_bytes(tag) > 0) add(0, MemoryPlace::kHost, rank);
  }
  for (const MemoryPlace place : kPlaces) {
    const int64_t n_bytes = ledger.own_bytes(tag, place);
    if (n_bytes > 0) add(n_bytes, place, "");
  }
  if (!has_row) add(0, MemoryPlace::kHost, "");
}

void add_memory(SnapshotFamilies& out, const MemoryLedger& ledger) {
  out.begin("memory_bytes", "Bytes held now, by what for, where, and by which rank.",
            MetricType::Gauge);
  for (size_t tag = 0; tag < kNumMemoryTags; ++tag) add_memory(out, ledger, MemoryTag(tag));
}

// A family without a row would still have its lines of help.
void add_devices(SnapshotFamilies& out, const NodeProbes::DeviceStates& states) {
  if (states.empty()) return;
  out.begin("device_free_bytes", "Bytes of a rank's device that nothing has allocated.",
            MetricType::Gauge);
  for (size_t rank = 0; rank < states.size(); ++rank) {
    out.add(static_cast<double>(states[rank].free_bytes), {{"rank", std::to_string(rank)}});
  }
  if (std::none_of(states.begin(), states.end(), [](const auto& s) { return s.errors; })) return;
  out.begin("device_errors_total",
            "Errors of a rank's device since its driver was loaded or it was reset, by kind.",
            MetricType::Counter);
  for (size_t rank = 0; rank < states.size(); ++rank) {
    const std::optional<EccErrors>& errors = states[rank].errors;
    if (!errors) continue;
    const auto add = [&](uint64_t n, const char* kind) {
      out.add(static_cast<double>(n), {{"rank", std::to_string(rank)}, {"kind", kind}});
    };
    add(errors->corrected, "ecc_corrected");
    add(errors->uncorrected, "ecc_uncorrected");
  }
}

void add_facts(SnapshotFamilies& out, const NodeFacts& facts) {
  out.begin("model_info", "The model served; always 1.", MetricType::Gauge);
  out.add(1,
          {{"model", facts.model}, {"backend", facts.backend}, {"fingerprint", facts.fingerprint}});
}

prometheus::Histogram& histogram(prometheus::Registry& registry, const std::string& name,
                                 const std::string& help,
                                 const prometheus::Histogram::BucketBoundaries& bounds) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, bounds);
}

}  // namespace

struct NodeProbes::Impl {
  struct Source {
    NodeFacts facts;
    std::function<EngineSnapshot()> snapshot;
    const MemoryLedger* ledger;
    const BlockEventLog* events;
    std::function<DeviceStates()> devices;
  };

  Impl() {
    // Known outcomes exist from the start, so that their rates begin at 0.
    for (const char* outcome : {"stop", "length", "cancelled", "disconnected", "decode_failed"})
      requests.Add({{"outcome", outcome}});
    for (const char* form : {"text", "chat", "ids"}) prompts.Add({{"form", form}});
    for (const char* kind : {"replay", "snapshot"}) event_replays.Add({{"kind", kind}});
    prometheus::BuildGauge()
        .Name("lockstep_build_info")
        .Help("Version of this node; always 1.")
        .Register(registry)
        .Add({{"version", kVersion}})
        .Set(1);
  }

  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      prometheus::BuildCounter()
          .Name("lockstep_requests_total")
          .Help("Requests that ended, by finish reason or error code.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& prompts =
      prometheus::BuildCounter()
          .Name("lockstep_prompts_total")
          .Help("Prompts received, by form; coordinators send ids where they can.")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& event_replays =
      prometheus::BuildCounter()
          .Name("lockstep_kv_event_replays_total")
          .Help("Requests for past KV events, and for snapshots of what is resident.")
          .Register(registry);
  prometheus::Counter& bad_messages = prometheus::BuildCounter()
                                          .Name("lockstep_bad_messages_total")
                                          .Help("Wire messages that could not be understood.")
                                          .Register(registry)
                                          .Add({});
  prometheus::Histogram& first_token =
      histogram(registry, "lockstep_time_to_first_token_seconds",
                "From a request's arrival to a choice's first token.", kFirstTokenSeconds);
  prometheus::Histogram& inter_token =
      histogram(registry, "lockstep_inter_token_seconds",
                "Between one token of a choice and the next.", kInterTokenSeconds);

  mutable std::mutex mutex;
  std::optional<Source> source;  // guarded by mutex
};

NodeProbes::NodeProbes() : impl_(std::make_unique<Impl>()) {}
NodeProbes::~NodeProbes() = default;

void NodeProbes::request_ended(std::string_view outcome) {
  impl_->requests.Add({{"outcome", std::string(outcome)}}).Increment();
}

void NodeProbes::first_token(Duration since_arrival) {
  impl_->first_token.Observe(seconds(since_arrival));
}

void NodeProbes::next_tokens(Duration since_last, size_t n_tokens) {
  for (size_t i = 0; i < n_tokens; ++i) {
    impl_->inter_token.Observe(seconds(since_last) / static_cast<double>(n_tokens));
  }
}

void NodeProbes::bad_message() { impl_->bad_messages.Increment(); }

void NodeProbes::prompt_received(std::string_view form) {
  impl_->prompts.Add({{"form", std::string(form)}}).Increment();
}

void NodeProbes::events_replayed(std::string_view kind) {
  impl_->event_replays.Add({{"kind", std::string(kind)}}).Increment();
}

void NodeProbes::attach(NodeFacts facts, std::function<EngineSnapshot()> snapshot,
                        const MemoryLedger& ledger, const BlockEventLog* events,
                        std::function<DeviceStates()> devices) {
  std::lock_guard lock(impl_->mutex);
  impl_->source =
      Impl::Source{std::move(facts), std::move(snapshot), &ledger, events, std::move(devices)};
}

std::string NodeProbes::text() const {
  std::vector<MetricFamily> families = impl_->registry.Collect();
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->source) {
      SnapshotFamilies extra;
      add_facts(extra, impl_->source->facts);
      add_engine(extra, impl_->source->snapshot());
      const BlockEventLog* events = impl_->source->events;
      add_events(extra, events != nullptr ? events->counts() : BlockEventCounts());
      add_memory(extra, *impl_->source->ledger);
      if (impl_->source->devices) add_devices(extra, impl_->source->devices());
      for (MetricFamily& family : extra.take()) families.push_back(std::move(family));
    }
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace lockstep
