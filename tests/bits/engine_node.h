// Node: a node without its service: the whole engine over rank threads and a tiny model. Collects
// the answers of its requests.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/log.h"
#include "node/engine/core/engine_core.h"
#include "node/engine/queue/admission.h"
#include "tests/bits/tiny_models.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/random.h"

namespace lockstep::testing {

struct Setting {
  std::shared_ptr<const DeviceProvider> devices = cpu_devices();
  int n_ranks = 1;
  int32_t block_size = 16;
  int32_t chunk = 64;  // max_num_batched_tokens
  DType kv_dtype = DType::kK16V8;
  int32_t n_kv_blocks = 200;
  int32_t n_host_kv_blocks = 0;
  bool prefix_cache = true;
  bool kv_cache = true;
  int32_t max_seqs = 4;
  int32_t max_model_len = 320;
  bool context_shift = false;
  int32_t n_keep = 0;
  std::chrono::milliseconds collective_deadline{10'000};
  bool may_fail = false;  // requests may end with an error
};

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
  uint64_t n_cached = 0;
  std::optional<FinishReason> reason;  // once it has ended
  std::string message;
};

// A tokenizer with as many ids as the model has; most have no text.
class WideTokenizer final : public FakeTokenizer {
 public:
  explicit WideTokenizer(int64_t vocab_size) : vocab_size_(static_cast<int32_t>(vocab_size)) {}
  std::string_view token_bytes(int32_t id, bool special) const override {
    return id < FakeTokenizer::vocab_size() ? FakeTokenizer::token_bytes(id, special) : "";
  }
  int32_t vocab_size() const override { return vocab_size_; }

 private:
  const int32_t vocab_size_;
};

// One node without its service.
class Node final : public EngineSink {
 public:
  Node(const NamedSpec& named, const Setting& setting)
      : Node(std::make_unique<FakeModelFile>(named.spec), setting) {}
  // `file` must outlive the node.
  Node(const ModelFile& file, const Setting& setting)
      : config_(config_of(setting)),
        may_fail_(setting.may_fail),
        ranks_(file, config_, ledger_),
        tokenizer_(file.config().shape.vocab_size) {
    core_ = std::make_unique<EngineCore>(EngineConfig{.limits = config_.limits,
                                                      .n_kv_blocks = config_.n_kv_blocks,
                                                      .max_steps_in_flight = 2,
                                                      .kv_cache = setting.kv_cache,
                                                      .context_shift = setting.context_shift,
                                                      .n_keep = setting.n_keep,
                                                      .prefix_cache = setting.prefix_cache},
                                         ranks_, tokenizer_, clock_, *this);
  }

  // `emitted`: the output that the one choice has already, if the request is resumed.
  void ask(uint64_t id, const Ids& prompt, const SamplingParams& sampling,
           const Ids& emitted = {}) {
    GenerationRequest request{RequestId{id}, prompt, sampling};
    if (!emitted.empty()) request.emitted = {{.ids = emitted}};
    const Admission admission(config_.limits, config_.n_kv_blocks, tokenizer_, {},
                              core_->scheduler().config().context_shift);
    ASSERT_TRUE(admission.check(request));
    core_->accept(std::make_unique<LiveRequest>(std::move(request), config_.limits.max_model_len));
  }
  bool turn() {  // false once there is nothing left to do
    clock_.advance(core_->pause_left());
    core_->start();
    core_->finish();
    return !core_->idle();
  }
  void run() {
    for (int i = 0; i < 100000 && !core_->idle(); ++i) turn();
    ASSERT_TRUE(core_->idle());
  }
  const Answer& answer(uint64_t id) { return answers_[id]; }
  void forget_answers() { answers_.clear(); }  // request ids can then be used again
  EngineSnapshot snapshot() const { return core_->snapshot(); }
  // Evicts all unreferenced blocks.
  void clear() { core_->cache().clear(); }

  void on_events(const EventBatch& batch) override {
    for (const ChoiceEvent& event : batch.choices) {
      Answer& to = answers_[static_cast<uint64_t>(event.request)];
      to.ids.insert(to.ids.end(), event.ids.begin(), event.ids.end());
      to.logprobs.insert(to.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
    }
    for (const RequestEnd& end : batch.ends) {
      EXPECT_TRUE(end.reason == FinishReason::kLength || may_fail_) << end.message;
      Answer& to = answers_[static_cast<uint64_t>(end.request)];
      to.n_cached = end.usage.cached_tokens;
      to.reason = end.reason;
      to.message = end.message;
    }
  }

 private:
  Node(std::unique_ptr<FakeModelFile> own, const Setting& setting) : Node(*own, setting) {
    own_file_ = std::move(own);
  }

  static RankGroupConfig config_of(const Setting& setting) {
    RankGroupConfig config;
    config.devices = setting.devices;
    config.n_ranks = setting.n_ranks;
    config.threads_per_rank = 1;
    config.kv_dtype = setting.kv_dtype;
    config.n_kv_blocks = setting.n_kv_blocks;
    config.kv_cache = setting.kv_cache;
    config.collective_ticks = static_cast<int>(setting.collective_deadline / config.watch_tick);
    config.limits = {.max_tokens = setting.chunk,
                     .max_seqs = setting.max_seqs,
                     .max_samples = setting.max_seqs,
                     .max_model_len = setting.max_model_len,
                     .block_size = setting.block_size,
                     .max_banned = 4,
                     .n_host_kv_blocks = setting.n_host_kv_blocks};
    return config;
  }

  std::unique_ptr<FakeModelFile> own_file_;  // or null
  const RankGroupConfig config_;
  const bool may_fail_;
  MemoryLedger ledger_;
  RankGroup ranks_;
  WideTokenizer tokenizer_;
  FakeClock clock_;
  std::unique_ptr<EngineCore> core_;
  std::map<uint64_t, Answer> answers_;
};

// Penalties read the whole prompt, so gaps in token_ids would change the tokens.
inline SamplingParams sampled(uint64_t seed, int32_t max_tokens) {
  SamplingParams sampling;
  sampling.temperature = seed % 2 == 0 ? 0.0f : 0.8f;
  sampling.repetition_penalty = 1.2f;
  sampling.presence_penalty = 0.3f;
  sampling.seed = seed;
  sampling.max_tokens = max_tokens;
  sampling.n_logprobs = 0;
  sampling.ignore_eos = true;
  return sampling;
}

inline void expect_equal(const Answer& expected, const Answer& got, const std::string& what) {
  EXPECT_EQ(expected.ids, got.ids) << what;
  ASSERT_EQ(expected.logprobs.size(), got.logprobs.size()) << what;
  for (size_t i = 0; i < got.logprobs.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(expected.logprobs[i]),
              std::bit_cast<uint32_t>(got.logprobs[i]))
        << what << ", token " << i;
  }
}

}  // namespace lockstep::testing
