// After a context shift a sequence continues exactly as a fresh request whose prompt is the context
// that is left: ids and log-probabilities bit for bit, at any ranks, blocks, cache and other
// requests.
#include <algorithm>

#include "tests/bits/engine_node.h"
#include "tests/support/test_stream.h"
#include "tests/unit/kernels/sample_support.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kMaxModelLen = 64, kKeep = 8, kOutputs = 200, kPrompt = 20;

Setting shifting() {
  Setting setting;
  setting.max_model_len = kMaxModelLen;
  setting.context_shift = true;
  setting.n_keep = kKeep;
  return setting;
}

SamplingParams greedy(int32_t max_tokens) {
  SamplingParams sampling = sampled(2, max_tokens);
  sampling.presence_penalty = 0;  // it counts outputs, which are prompt tokens in a fresh request
  return sampling;
}

// llama.cpp's context shift, implemented a second time for this test.
void shift(Ids& context, int32_t n_keep) {
  const auto n_dropped = (static_cast<int32_t>(context.size()) - n_keep) / 2;
  context.erase(context.begin() + n_keep, context.begin() + n_keep + n_dropped);
}

// The same answer by fresh requests: one prefill for each shift, on a node without a prefix cache
// and without context shift.
Answer by_fresh_requests(const NamedSpec& model, Ids context) {
  Node node(model, {.prefix_cache = false, .max_model_len = kMaxModelLen});
  Answer out;
  for (uint64_t id = 1; static_cast<int32_t>(out.ids.size()) < kOutputs; ++id) {
    const auto n_left = kOutputs - static_cast<int32_t>(out.ids.size());
    node.ask(id, context,
             greedy(std::min(n_left, kMaxModelLen - static_cast<int32_t>(context.size()))));
    node.run();
    const Answer& part = node.answer(id);
    out.ids.insert(out.ids.end(), part.ids.begin(), part.ids.end());
    out.logprobs.insert(out.logprobs.end(), part.logprobs.begin(), part.logprobs.end());
    context.insert(context.end(), part.ids.begin(), part.ids.end());
    shift(context, kKeep);
  }
  return out;
}

TEST(ContextShift, EachCutIsAFreshRequestOnWhatIsLeft) {
  for (const NamedSpec& model : all_specs()) {
    const Ids prompt = random_prompt(kPrompt, model.spec.shape.vocab_size, 4);
    Node node(model, shifting());
    node.ask(1, prompt, greedy(kOutputs));
    node.run();
    expect_equal(by_fresh_requests(model, prompt), node.answer(1), model.name);
    EXPECT_EQ(node.answer(1).ids.size(), static_cast<size_t>(kOutputs));
    EXPECT_EQ(node.snapshot().n_context_shifts, 6u);  // after 44 outputs, then after every 28th
    EXPECT_EQ(node.answer(1).n_cached, 0u);
  }
}

// The id that the sampler draws from one row.
int32_t sample_once(const Logits& logits, const SamplingParams& params, const Ids& context,
                    size_t n_prompt, uint32_t output_idx) {
  SampleBatch rows(static_cast<int64_t>(logits.size()));
  rows.max_model_len = kMaxModelLen + 1;
  SamplingRow row;
  row.temperature = params.temperature;
  row.repetition_penalty = params.repetition_penalty;
  row.presence_penalty = params.presence_penalty;
  row.seed = params.seed;
  row.output_idx = output_idx;
  const auto middle = context.begin() + static_cast<std::ptrdiff_t>(n_prompt);
  rows.add(logits, row, Ids(context.begin(), middle), Ids(middle, context.end()));
  return rows.run(*make_stream(best_isa(), 1)).ids.front();
}

// Sampled, with a penalty that differs between prompt and output tokens. A step draws from the
// logits of a forward pass over the context alone, with penalties over the context and random
// numbers by output index.
TEST(ContextShift, SamplingGoesOnByOutputIndexOverTheContext) {
  const NamedSpec model = nine_heads();
  const Ids prompt = random_prompt(kPrompt, model.spec.shape.vocab_size, 5);
  Node node(model, shifting());
  node.ask(3, prompt, sampled(3, kOutputs));
  node.run();
  const Ids& ids = node.answer(3).ids;
  ASSERT_EQ(ids.size(), static_cast<size_t>(kOutputs));

  const FakeModelFile file(model.spec);
  ModelRunner runner(file, {});
  Ids context = prompt;
  size_t n_prompt = prompt.size();
  for (size_t n = 0; n < ids.size();) {
    const size_t n_part = std::min(ids.size() - n, kMaxModelLen - context.size());
    const size_t first = context.size() - 1;
    context.insert(context.end(), ids.begin() + static_cast<std::ptrdiff_t>(n),
                   ids.begin() + static_cast<std::ptrdiff_t>(n + n_part));
    const std::vector<Logits> logits = runner.forced_logits(context);
    for (size_t i = 0; i < n_part; ++i, ++n) {
      const Ids known(context.begin(),
                      context.begin() + static_cast<std::ptrdiff_t>(first + i + 1));
      ASSERT_EQ(sample_once(logits[first + i], sampled(3, kOutputs), known, n_prompt,
                            static_cast<uint32_t>(n)),
                ids[n])
          << "output " << n;
    }
    shift(context, kKeep);
    n_prompt = kKeep;  // the first shift drops 28 of 56 tokens, the rest of the prompt among them
  }
}

// Greedy and sampled at once; the pool holds one whole context and a half.
void expect_the_same(const NamedSpec& model, const Setting& setting,
                     const std::vector<Answer>& truth, const Ids& prompt, bool is_tight) {
  SCOPED_TRACE(str("ranks ", setting.n_ranks, ", block ", setting.block_size,
                   setting.prefix_cache ? ", cached" : ", not cached", is_tight ? ", tight" : ""));
  Node node(model, setting);
  for (uint64_t id = 100; is_tight && id < 103;
       ++id) {  // short answers, so that little is reserved
    node.ask(id, random_prompt(3, model.spec.shape.vocab_size, id), sampled(id, 1));
  }
  node.run();
  for (uint64_t round = 0; round < 2; ++round) {
    const uint64_t first = 10 * (round + 1);
    for (uint64_t seed : {2, 3}) node.ask(first + seed, prompt, sampled(seed, kOutputs));
    node.run();
    for (uint64_t seed : {2, 3}) {
      expect_equal(truth[seed - 2], node.answer(first + seed),
                   str("round ", round, " seed ", seed));
      EXPECT_LT(node.answer(first + seed).n_cached, static_cast<uint64_t>(kPrompt));
    }
  }
  EXPECT_EQ(node.snapshot().n_context_shifts, 24u);
  if (is_tight) {
    EXPECT_GT(node.snapshot().n_preemptions, 0u);
  }
}

TEST(ContextShift, NeitherRanksNorBlocksNorCacheNorPressureShow) {
  const NamedSpec model = nine_heads();
  const Ids prompt = random_prompt(kPrompt, model.spec.shape.vocab_size, 6);
  Node alone(model, shifting());
  std::vector<Answer> truth;
  for (uint64_t seed : {2, 3}) {
    alone.ask(seed, prompt, sampled(seed, kOutputs));
    alone.run();
    truth.push_back(alone.answer(seed));
  }
  for (int n_ranks : {1, 2}) {
    for (int32_t block_size : {1, 16}) {
      for (bool prefix_cache : {true, false}) {
        for (bool is_tight : {false, true}) {
          Setting setting = shifting();
          setting.n_ranks = n_ranks;
          setting.block_size = block_size;
          setting.prefix_cache = prefix_cache;
          setting.n_kv_blocks = (is_tight ? 96 : 320) / block_size;
          expect_the_same(model, setting, truth, prompt, is_tight);
        }
      }
    }
  }
  Setting uncached = shifting();
  uncached.kv_cache = uncached.prefix_cache = false;
  uncached.n_kv_blocks = kMaxModelLen / uncached.block_size;
  expect_the_same(model, uncached, truth, prompt, false);
}

}  // namespace
}  // namespace lockstep::testing
