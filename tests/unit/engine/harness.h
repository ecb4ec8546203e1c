// Shared by the engine tests: a sink that records every stream and checks its grammar, helpers that
// make requests, and an EngineCore over the NullExecutor whose accounts are checked after each
// turn.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node/engine/checks/invariants.h"
#include "node/engine/core/engine_core.h"
#include "node/engine/queue/admission.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/null_executor.h"

namespace lockstep::testing {

// One choice's stream as its client receives it.
struct Transcript {
  std::vector<int32_t> ids;
  std::string text;
  std::vector<float> logprobs;
  std::vector<TokenLogprob> top;
  std::optional<FinishReason> finished;
  std::string stop_string;
  int32_t stop_token = -1;

  // What must not depend on scheduling.
  bool operator==(const Transcript& other) const {
    return ids == other.ids && text == other.text && logprobs == other.logprobs &&
           finished == other.finished && stop_string == other.stop_string &&
           stop_token == other.stop_token;
  }
};

struct Ending {
  FinishReason reason = FinishReason::kStop;
  Usage usage;
  ErrorCode error = ErrorCode::kInternal;
  std::string message;
};

class Recorder final : public EngineSink {
 public:
  void on_events(const EventBatch& batch) override {
    EXPECT_FALSE(batch.choices.empty() && batch.ends.empty()) << "an empty batch";
    for (const ChoiceEvent& event : batch.choices) record(event);
    for (const RequestEnd& end : batch.ends) record(end);
    if (after) after(batch);
  }

  std::map<std::pair<RequestId, uint32_t>, Transcript> choices;
  std::map<RequestId, Ending> ends;
  std::function<void(const EventBatch&)> after;

 private:
  void record(const ChoiceEvent& event) {
    EXPECT_FALSE(ends.contains(event.request)) << "output after the final message";
    Transcript& to = choices[{event.request, event.choice}];
    EXPECT_FALSE(to.finished) << "output after the choice ended";
    EXPECT_EQ(event.first_index, to.ids.size());
    to.ids.insert(to.ids.end(), event.ids.begin(), event.ids.end());
    to.text += event.text;
    to.logprobs.insert(to.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
    to.top.insert(to.top.end(), event.top.begin(), event.top.end());
    to.finished = event.finished;
    to.stop_string = event.stop_string;
    to.stop_token = event.stop_token;
  }
  void record(const RequestEnd& end) {
    const Ending ending{end.reason, end.usage, end.error, std::string(end.message)};
    EXPECT_TRUE(ends.emplace(end.request, ending).second) << "two final messages";
  }
};

inline StepLimits small_limits() {
  return {.max_tokens = 16,
          .max_seqs = 4,
          .max_samples = 4,
          .max_model_len = 64,
          .block_size = 4,
          .max_banned = 4 * (1 + static_cast<int32_t>(kMaxStopTokenIds))};
}

inline EngineConfig small_config(int depth = 1) {
  return {.limits = small_limits(), .n_kv_blocks = 48, .max_steps_in_flight = depth};
}

inline NullExecutor::Options executor_options(const EngineConfig& config) {
  return {.limits = config.limits,
          .n_kv_blocks = config.n_kv_blocks,
          .n_host_blocks = config.limits.n_host_kv_blocks,
          .vocab_size = FakeTokenizer().vocab_size(),
          .depth = 2};
}

// A request for `max_tokens` tokens that only its length ends.
inline GenerationRequest request_of(uint64_t id, std::vector<int32_t> prompt, int32_t max_tokens) {
  GenerationRequest request;
  request.id = RequestId{id};
  request.prompt = std::move(prompt);
  request.sampling.max_tokens = max_tokens;
  request.sampling.seed = id;
  request.sampling.ignore_eos = true;
  return request;
}

class CoreHarness {
 public:
  explicit CoreHarness(const EngineConfig& engine_config)
      : CoreHarness(engine_config, executor_options(engine_config)) {}
  CoreHarness(const EngineConfig& engine_config, NullExecutor::Options options)
      : config(engine_config),
        executor(std::move(options)),
        core(config, executor, tokenizer, clock, sink) {}

  Status accept(GenerationRequest request) {
    const Admission admission(config.limits, config.n_kv_blocks, tokenizer, config.tenants,
                              config.context_shift);
    Status status = admission.check(request);
    if (status) {
      core.accept(std::make_unique<LiveRequest>(std::move(request), config.limits.max_model_len));
    }
    return status;
  }
  bool turn() {  // returns false once there is nothing left to do
    clock.advance(core.pause_left());
    core.start();
    core.finish();
    EXPECT_EQ(check_invariants(core.scheduler(), true), 0);
    EXPECT_EQ(core.snapshot().n_invariant_violations(), 0u);
    return !core.idle();
  }
  void run() {
    int n_turns = 0;
    while (turn()) ASSERT_LT(++n_turns, 100000) << "does not end";
    expect_empty();
  }
  void expect_empty() const {
    EXPECT_TRUE(core.idle());
    const EngineSnapshot s = core.snapshot();
    EXPECT_EQ(s.n_blocks_free + s.n_blocks_cached, s.n_blocks_total);
    EXPECT_EQ(s.n_running + s.n_waiting, 0);
  }
  const Transcript& choice(uint64_t id, uint32_t choice = 0) const {
    return sink.choices.at({RequestId{id}, choice});
  }
  const Ending& ending(uint64_t id) const { return sink.ends.at(RequestId{id}); }

  const EngineConfig config;
  FakeTokenizer tokenizer;
  FakeClock clock;
  Recorder sink;
  NullExecutor executor;
  EngineCore core;
};

}  // namespace lockstep::testing
