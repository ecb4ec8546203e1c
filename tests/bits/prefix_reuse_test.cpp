// Tokens and their log-probabilities are the same whether a prompt was computed or read from the
// prefix cache: the whole engine on tiny models, turn after turn, at every tensor-parallel degree,
// block size and KV dtype, beside others and after evictions.
#include <gtest/gtest.h>

#include <memory>

#include "common/log.h"
#include "node/engine/admission.h"
#include "node/engine/engine_core.h"
#include "tests/bits/tiny_models.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/random.h"

namespace lockstep::testing {
namespace {

struct Setting {
  int n_ranks = 1;
  int32_t block_size = 16;
  int32_t chunk = 64;  // max_num_batched_tokens
  DType kv_dtype = DType::kF16;
  int32_t n_kv_blocks = 200;
  bool prefix_cache = true;
};

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
  uint64_t n_cached = 0;
};

// As many ids as the model has; most have no text.
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
      : file_(named.spec),
        config_(config_of(setting)),
        ranks_(file_, config_, ledger_),
        tokenizer_(named.spec.shape.vocab_size) {
    core_ = std::make_unique<EngineCore>(EngineConfig{.limits = config_.limits,
                                                      .n_kv_blocks = config_.n_kv_blocks,
                                                      .max_steps_in_flight = 2,
                                                      .prefix_cache = setting.prefix_cache},
                                         ranks_, tokenizer_, clock_, *this);
  }

  void ask(uint64_t id, const Ids& prompt, const SamplingParams& sampling) {
    GenerationRequest request{RequestId{id}, prompt, sampling};
    const Admission admission(config_.limits, config_.n_kv_blocks, tokenizer_);
    ASSERT_TRUE(admission.check(request));
    core_->accept(std::make_unique<LiveRequest>(std::move(request)));
  }
  void run() {
    for (int i = 0; i < 100000 && !core_->idle(); ++i) {
      core_->start();
      core_->finish();
    }
    ASSERT_TRUE(core_->idle());
  }
  const Answer& answer(uint64_t id) { return answers_[id]; }
  EngineSnapshot snapshot() const { return core_->snapshot(); }

  void on_events(const EventBatch& batch) override {
    for (const ChoiceEvent& event : batch.choices) {
      Answer& to = answers_[static_cast<uint64_t>(event.request)];
      to.ids.insert(to.ids.end(), event.ids.begin(), event.ids.end());
      to.logprobs.insert(to.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
    }
    for (const RequestEnd& end : batch.ends) {
      EXPECT_EQ(end.reason, FinishReason::kLength) << end.message;
      answers_[static_cast<uint64_t>(end.request)].n_cached = end.usage.cached_tokens;
    }
  }

 private:
  static RankGroupConfig config_of(const Setting& setting) {
    RankGroupConfig config;
    config.n_ranks = setting.n_ranks;
    config.threads_per_rank = 1;
    config.kv_dtype = setting.kv_dtype;
    config.n_kv_blocks = setting.n_kv_blocks;
    config.limits = {.max_tokens = setting.chunk,
                     .max_seqs = 4,
                     .max_samples = 4,
                     .max_model_len = 320,
                     .block_size = setting.block_size,
                     .n_groups = 1,
                     .max_banned = 4};
    return config;
  }

  FakeModelFile file_;
  const RankGroupConfig config_;
  MemoryLedger ledger_;
  RankGroup ranks_;
  WideTokenizer tokenizer_;
  FakeClock clock_;
  std::unique_ptr<EngineCore> core_;
  std::map<uint64_t, Answer> answers_;
};

// Penalties look at the whole prompt, so they would show a history with holes.
SamplingParams sampled(uint64_t seed, int32_t max_tokens) {
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

void expect_equal(const Answer& expected, const Answer& got, const std::string& what) {
  EXPECT_EQ(expected.ids, got.ids) << what;
  ASSERT_EQ(expected.logprobs.size(), got.logprobs.size()) << what;
  for (size_t i = 0; i < got.logprobs.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(expected.logprobs[i]),
              std::bit_cast<uint32_t>(got.logprobs[i]))
        << what << ", token " << i;
  }
}

// A system prompt, three conversations that grow by turns and share it, and one that branches off.
// What each turn asks is fixed by the uncached run.
struct Turn {
  Ids prompt;
  SamplingParams sampling;
  Answer answer;
};
std::vector<Turn> script(const NamedSpec& model, const Setting& plain) {
  Node node(model, plain);
  const Ids system = random_prompt(70, model.spec.shape.vocab_size, 3);
  std::vector<Turn> turns;
  std::vector<Ids> said(3, system);
  uint64_t id = 0;
  for (int round = 0; round < 2; ++round) {
    for (size_t c = 0; c < said.size(); ++c) {
      const Ids question =
          random_prompt(5 + 7 * static_cast<int>(c) + round, model.spec.shape.vocab_size, 100 + id);
      said[c].insert(said[c].end(), question.begin(), question.end());
      turns.push_back({said[c], sampled(++id, 7), {}});
      node.ask(id, turns.back().prompt, turns.back().sampling);
      node.run();
      turns.back().answer = node.answer(id);
      said[c].insert(said[c].end(), turns.back().answer.ids.begin(), turns.back().answer.ids.end());
    }
  }
  return turns;
}

void expect_script(const NamedSpec& model, const std::vector<Turn>& turns, const Setting& setting,
                   bool together, const std::string& what) {
  Node node(model, setting);
  uint64_t n_cached = 0;
  for (uint64_t id = 1; id <= turns.size(); ++id) {
    node.ask(id, turns[id - 1].prompt, turns[id - 1].sampling);
    if (!together || id % 3 == 0) node.run();  // three conversations side by side
  }
  for (uint64_t id = 1; id <= turns.size(); ++id) {
    expect_equal(turns[id - 1].answer, node.answer(id),
                 model.name + ", " + what + ", turn " + std::to_string(id));
    n_cached += node.answer(id).n_cached;
  }
  EXPECT_EQ(n_cached > 0, setting.prefix_cache) << what;
}

TEST(PrefixReuseBits, AHitGivesTheBitsOfAMiss) {
  const NamedSpec model = nine_heads();
  const std::vector<Turn> turns = script(model, {.prefix_cache = false});
  for (const int n_ranks : {1, 2, 3}) {
    expect_script(model, turns, {.n_ranks = n_ranks}, false, str("ranks ", n_ranks));
  }
  for (const int32_t block_size : {1, 8, 32}) {
    expect_script(model, turns, {.block_size = block_size, .n_kv_blocks = 3200 / block_size}, false,
                  str("block ", block_size));
  }
  for (const int32_t chunk : {5, 320}) {
    expect_script(model, turns, {.chunk = chunk}, true, str("together, chunk ", chunk));
  }
}

TEST(PrefixReuseBits, AKvGroupThatIsCutBetweenRanksIsReusedExactly) {
  const NamedSpec model = eight_leaves();
  const std::vector<Turn> turns = script(model, {.prefix_cache = false});
  expect_script(model, turns, {.n_ranks = 3}, true, "eight leaves on three ranks");
}

TEST(PrefixReuseBits, EvictionBetweenTurnsChangesNothing) {
  const NamedSpec model = nine_heads();
  const std::vector<Turn> turns = script(model, {.prefix_cache = false});
  const Setting tight{.block_size = 8, .n_kv_blocks = 20};  // one conversation and a half
  expect_script(model, turns, tight, false, "tight");
  expect_script(model, turns, tight, true, "tight, together");
  Node node(model, tight);
  for (uint64_t id = 1; id <= turns.size(); ++id) {
    node.ask(id, turns[id - 1].prompt, turns[id - 1].sampling);
    node.run();
  }
  EXPECT_GT(node.snapshot().n_blocks_evicted, 0u);
}

TEST(PrefixReuseBits, EveryKvDtypeIsReusedExactly) {
  const NamedSpec model = nine_heads();
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0}) {
    const std::vector<Turn> turns = script(model, {.kv_dtype = dtype, .prefix_cache = false});
    expect_script(model, turns, {.kv_dtype = dtype}, true, str("dtype ", static_cast<int>(dtype)));
  }
}

}  // namespace
}  // namespace lockstep::testing
