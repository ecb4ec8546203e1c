// The Generator that runs a model in this process. Engine events pass to the caller's thread
// through a bounded queue.
#include <random>
#include <string>

#include "clients/cli/generator.h"
#include "common/threads/bounded_queue.h"
#include "node/service/app/node_engine.h"
#include "node/service/requests/sampling_defaults.h"

namespace lockstep {
namespace {

// One event, copied out of the engine's batch.
struct Piece {
  std::string text;
  bool has_token = false;
  bool last = false;
  RequestEnd end;       // set in the last event; end.message must not be used
  std::string message;  // the error message of a failed request
};

class QueueSink final : public EngineSink {
 public:
  void on_events(const EventBatch& batch) override {
    for (const ChoiceEvent& event : batch.choices) {
      push({std::string(event.text), !event.ids.empty(), false, {}, {}});
    }
    for (const RequestEnd& end : batch.ends) {
      push({"", false, true, end, std::string(end.message)});
    }
  }
  std::optional<Piece> wait_pop() { return pieces_.wait_pop(); }

 private:
  // One request runs at a time, and every token gives at most one piece. The request therefore
  // reaches the model's length limit before the queue is full.
  void push(Piece piece) { CHECK(pieces_.try_push(std::move(piece))); }

  BoundedQueue<Piece> pieces_{1 << 18};
};

class LocalGenerator final : public Generator {
 public:
  explicit LocalGenerator(const NodeConfig& config) : node_(config, sink_) {
    node_.engine().start();
  }

  Result<GenerationOutcome> generate(
      const GenerationInput& input, const GenerationOptions& options,
      const std::function<void(std::string_view)>& on_text) override {
    GenerationRequest request;
    request.id = RequestId{next_id_++};
    PromptText prompt{.text = input.prompt};
    if (!input.messages.empty()) prompt.messages = input.messages;
    TRY(request.prompt, node_.text().encode(prompt));
    apply(options, request.sampling);
    const uint64_t n_prompt = request.prompt.size();
    const auto start = std::chrono::steady_clock::now();
    TRY([[maybe_unused]] const int32_t max_tokens, node_.engine().submit(std::move(request)));
    return collect(start, n_prompt, on_text);
  }

  Result<KvOccupancy> kv_occupancy() override {
    const EngineSnapshot snapshot = node_.engine().snapshot();
    return KvOccupancy{snapshot.n_blocks_active, snapshot.n_blocks_total};
  }

 private:
  void apply(const GenerationOptions& options, SamplingParams& sampling) {
    sampling = with_defaults(node_.sampling_defaults());
    if (options.temperature) sampling.temperature = static_cast<float>(*options.temperature);
    if (options.top_p) sampling.top_p = static_cast<float>(*options.top_p);
    if (options.top_k) sampling.top_k = static_cast<int32_t>(*options.top_k);
    sampling.max_tokens = options.max_tokens > 0 ? static_cast<int32_t>(options.max_tokens) : -1;
    sampling.seed = options.seed ? static_cast<uint64_t>(*options.seed) : random_();
    sampling.stop.strings = options.stop;
  }

  Result<GenerationOutcome> collect(std::chrono::steady_clock::time_point start, uint64_t n_prompt,
                                    const std::function<void(std::string_view)>& on_text) {
    GenerationOutcome outcome;
    bool first = true;
    while (std::optional<Piece> piece = sink_.wait_pop()) {
      const auto elapsed = std::chrono::steady_clock::now() - start;
      if (piece->has_token && std::exchange(first, false)) outcome.to_first_token = elapsed;
      if (!piece->text.empty()) on_text(piece->text);
      if (!piece->last) continue;
      if (piece->end.reason == FinishReason::kError) {
        return Error{piece->end.error, piece->message, ""};
      }
      outcome.finish_reason = to_string(piece->end.reason);
      outcome.prompt_tokens = n_prompt;
      outcome.completion_tokens = piece->end.usage.completion_tokens;
      outcome.total = elapsed;
      return outcome;
    }
    return Error{ErrorCode::kInternal, "the engine stopped", ""};
  }

  QueueSink sink_;
  std::random_device entropy_;
  std::mt19937_64 random_{entropy_()};
  uint64_t next_id_ = 1;
  NodeEngine node_;  // last: its engine thread uses the sink until the thread ends
};

}  // namespace

std::unique_ptr<Generator> make_local_generator(const NodeConfig& config) {
  return std::make_unique<LocalGenerator>(config);
}

}  // namespace lockstep
