// A resumed request goes on with the bits of the undisturbed one: ids and log-probabilities, greedy
// and sampled, with penalties, at any cut, ranks, blocks, cache, pressure and context shift.
#include <algorithm>

#include "tests/bits/engine_node.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kPrompt = 21, kOutputs = 60;

SamplingParams penalised(uint64_t seed) {
  SamplingParams sampling = sampled(seed, kOutputs);
  sampling.frequency_penalty = 0.4f;
  return sampling;
}

// The rest of the answer after its first n tokens.
Answer rest_of(const Answer& whole, size_t n) {
  Answer rest;
  rest.ids.assign(whole.ids.begin() + static_cast<ptrdiff_t>(n), whole.ids.end());
  rest.logprobs.assign(whole.logprobs.begin() + static_cast<ptrdiff_t>(n), whole.logprobs.end());
  return rest;
}

std::vector<Answer> undisturbed(const NamedSpec& model, const Setting& setting, const Ids& prompt) {
  std::vector<Answer> truth;
  for (const uint64_t seed : {2, 3}) {
    Node alone(model, setting);
    alone.ask(seed, prompt, penalised(seed));
    alone.run();
    truth.push_back(alone.answer(seed));
  }
  return truth;
}

// Resumes both requests side by side, from `cut` on.
void expect_the_rest(Node& node, const std::vector<Answer>& truth, const Ids& prompt, size_t cut) {
  node.forget_answers();
  for (const uint64_t seed : {2, 3}) {
    const std::vector<int32_t>& ids = truth[seed - 2].ids;
    node.ask(seed, prompt, penalised(seed),
             {ids.begin(), ids.begin() + static_cast<ptrdiff_t>(cut)});
  }
  node.run();
  for (const uint64_t seed : {2, 3}) {
    expect_equal(rest_of(truth[seed - 2], cut), node.answer(seed),
                 str("cut ", cut, ", seed ", seed));
  }
}

TEST(ResumeBits, TheRestIsThatOfTheUndisturbedRunAtEveryCut) {
  const NamedSpec model = nine_heads();
  const Ids prompt = random_prompt(kPrompt, model.spec.shape.vocab_size, 8);
  const std::vector<Answer> truth = undisturbed(model, {}, prompt);
  Node node(model, {.n_ranks = 2, .prefix_cache = false});
  for (size_t cut = 0; cut < kOutputs; ++cut) expect_the_rest(node, truth, prompt, cut);
}

TEST(ResumeBits, NeitherRanksNorBlocksNorCacheNorPressureShow) {
  const NamedSpec model = nine_heads();
  const Ids prompt = random_prompt(kPrompt, model.spec.shape.vocab_size, 9);
  for (const bool context_shift : {false, true}) {
    Setting setting;
    setting.context_shift = context_shift;
    setting.n_keep = 8;
    setting.max_model_len = context_shift ? 40 : 96;
    const std::vector<Answer> truth = undisturbed(model, setting, prompt);
    for (const int n_ranks : {1, 2}) {
      for (const int32_t block_size : {1, 16}) {
        for (const bool kv_cache : {true, false}) {
          setting.n_ranks = n_ranks;
          setting.block_size = block_size;
          setting.kv_cache = kv_cache;
          setting.prefix_cache = kv_cache && block_size == 1;
          setting.chunk = n_ranks == 1 ? 64 : 7;
          setting.n_kv_blocks = setting.max_model_len * 3 / 2 / block_size;
          SCOPED_TRACE(str("ranks ", n_ranks, ", block ", block_size,
                           kv_cache ? "" : ", no KV cache", context_shift ? ", shift" : ""));
          Node node(model, setting);
          for (const size_t cut : {1, 8, 28, 44, 59}) {
            expect_the_rest(node, truth, prompt, cut);
          }
        }
      }
    }
  }
}

TEST(ResumeBits, AnotherSeedIsAMismatchAndEndsTheRequest) {
  const NamedSpec model = nine_heads();
  const Ids prompt = random_prompt(kPrompt, model.spec.shape.vocab_size, 8);
  const std::vector<Answer> truth = undisturbed(model, {}, prompt);
  Node node(model, {.may_fail = true});
  const std::vector<int32_t>& ids = truth[1].ids;  // sampled
  SamplingParams other = penalised(3);
  other.seed = 4;
  node.ask(1, prompt, other, {ids.begin(), ids.begin() + 30});
  node.run();
  EXPECT_EQ(node.answer(1).reason, FinishReason::kError);
  EXPECT_TRUE(node.answer(1).ids.empty());
  EXPECT_EQ(node.answer(1).message.find("resume mismatch: output token 2"), 0u)
      << node.answer(1).message;
}

}  // namespace
}  // namespace lockstep::testing
