// Tokens and their log-probabilities are the same whether a prompt was computed or read from the
// prefix cache. The tests run the whole engine on tiny models, turn after turn, at every
// tensor-parallel size, block size and KV dtype, next to other requests and after evictions.
#include "tests/bits/engine_node.h"

namespace lockstep::testing {
namespace {

// Three conversations that share a system prompt and grow by turns, and one that branches off. The
// uncached run fixes the prompt of each turn.
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
