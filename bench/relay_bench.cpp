// The coordinator's CPU per relayed token, without sockets and threads: the bytes of a node's
// message with one token for each of 64 streams -> decode -> Forwarder -> ReplySink -> text of
// server-sent events. `decode` is the first part alone, `decode_by_tree` the same for a message
// that has to be read by way of a tree. The counter per_token is seconds of CPU.
#include <benchmark/benchmark.h>
#include <prometheus/registry.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "coordinator/openai/event_stream.h"
#include "coordinator/requests/forwarder.h"
#include "wire/codec/codec.h"
#include "wire/codec/decode_ways.h"
#include "wire/codec/scan.h"

namespace lockstep {
namespace {

constexpr uint32_t kStreams = 64, kSteps = 512;
constexpr uint64_t kEpoch = 7;

class SteadyClock final : public Clock {
 public:
  TimePoint now() const override {
    return TimePoint(std::chrono::steady_clock::now().time_since_epoch());
  }
};

// Records the ids by which the node knows the streams.
class RecordedLinks final : public NodeLinks {
 public:
  bool send(NodeId, const wire::Message&) override { return true; }
  bool send_encoded(NodeId, std::string_view bytes) override {
    ids.emplace_back(wire::find_request_id(bytes));
    return true;
  }
  std::vector<std::string> ids;
};

class StreamSink final : public ReplySink {
 public:
  explicit StreamSink(const OpenAiRequest& request)
      : stream_(request, {.id = "chatcmpl-0123456789abcdef0123", .created = 1'764'500'000}) {}
  void deliver(wire::Message message) override {
    stream_.take(message);
    n_bytes_ += stream_.take_text(false).size();
  }
  size_t n_bytes() const { return n_bytes_; }

 private:
  EventStream stream_;
  size_t n_bytes_ = 0;
};

OpenAiRequest chat_request(int64_t n_logprobs) {
  OpenAiRequest request;
  wire::Generate& prompt = request.prompts.emplace_back();
  prompt.request_id = prompt_id(0);
  prompt.model = "SmolLM2-135M-Instruct";
  prompt.messages = {{"user", "Write a story.", ""}};
  prompt.logprobs = n_logprobs;
  request.stream = true;
  return request;
}

wire::Tokens one_token(const std::string& id, uint32_t index, int64_t n_logprobs) {
  wire::Tokens tokens;
  tokens.request_id = id;
  tokens.first_index = index;
  tokens.ids = {static_cast<int32_t>(index * 97 % 49152)};
  tokens.text = " word";
  tokens.epoch = kEpoch;
  if (n_logprobs < 0) return tokens;
  wire::TokenLogprobs& row = tokens.logprobs.emplace_back();
  row.bytes = " word";
  row.logprob = -0.25f * static_cast<float>(index % 13);
  for (int32_t i = 0; i < n_logprobs; ++i) row.top.push_back({i, " best", -0.7f});
  return tokens;
}

// 64 accepted streams at one node, and the node's next kSteps messages.
class TokenPath {
 public:
  explicit TokenPath(int64_t n_logprobs) {
    wire::Welcome welcome;
    welcome.epoch = kEpoch;
    welcome.models = {{"SmolLM2-135M-Instruct", 1, 8192}};
    nodes_.on_welcome(kNode, welcome);
    forwarder_ =
        std::make_unique<Forwarder>(nodes_,
                                    Router({.policy = RoutingPolicy::kRoundRobin},
                                           {.n_nodes = nodes_.nodes().size(), .clock = clock_}),
                                    links_, clock_, probes_, ForwarderConfig{});
    for (uint32_t i = 0; i < kStreams; ++i) {
      const OpenAiRequest request = chat_request(n_logprobs);
      sinks_.push_back(std::make_shared<StreamSink>(request));
      forwarder_->submit({"http:" + std::to_string(i), sinks_.back()}, request.prompts);
      wire::Accepted accepted;
      accepted.request_id = links_.ids.back();
      forwarder_->on_node_message(kNode, accepted);
    }
    for (uint32_t step = 0; step < kSteps; ++step) {
      wire::TokensBatch batch;
      for (const std::string& id : links_.ids)
        batch.items.push_back(one_token(id, step, n_logprobs));
      messages_.push_back(wire::encode(batch));
    }
  }

  bool is_over() const { return next_ == kSteps; }
  void step() {
    Result<wire::Message> message = wire::decode(messages_[next_++]);
    CHECK(message.has_value());
    forwarder_->on_node_message(kNode, std::move(*message));
  }
  const std::string& message() const { return messages_.front(); }

 private:
  static constexpr NodeId kNode{0};
  SteadyClock clock_;
  CoordinatorProbes probes_{std::make_shared<prometheus::Registry>()};
  NodeTable nodes_{{"tcp://node"}, clock_};
  RecordedLinks links_;
  std::unique_ptr<Forwarder> forwarder_;
  std::vector<std::shared_ptr<StreamSink>> sinks_;
  std::vector<std::string> messages_;  // [kSteps]
  uint32_t next_ = 0;
};

void per_token(benchmark::State& state) {
  state.counters["per_token"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kStreams,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// The argument is top_logprobs, -1 = no log-probabilities.
void relay(benchmark::State& state) {
  auto relay = std::make_unique<TokenPath>(state.range(0));
  for (auto _ : state) {
    relay->step();
    if (!relay->is_over()) continue;
    state.PauseTiming();
    relay = std::make_unique<TokenPath>(state.range(0));
    state.ResumeTiming();
  }
  per_token(state);
}

void decode(benchmark::State& state) {
  const std::string bytes = TokenPath(state.range(0)).message();
  for (auto _ : state) benchmark::DoNotOptimize(wire::decode(bytes));
  per_token(state);
}

void decode_by_tree(benchmark::State& state) {
  const std::string bytes = TokenPath(state.range(0)).message();
  for (auto _ : state) benchmark::DoNotOptimize(wire::decode_by_tree(bytes));
  per_token(state);
}

BENCHMARK(relay)->Arg(-1)->Arg(5)->Unit(benchmark::kMicrosecond);
BENCHMARK(decode)->Arg(-1)->Arg(5)->Unit(benchmark::kMicrosecond);
BENCHMARK(decode_by_tree)->Arg(-1)->Arg(5)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
