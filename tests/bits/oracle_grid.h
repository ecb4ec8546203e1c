// OracleGrid: every tiny model, prompt, tensor-parallel size and block size, in each mode in which
// keys and values are kept or lost, gives the oracle's continuation and the bits of one run.
// tests/bits runs a sample of the cells, tests/slow/bits all.
#pragma once

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "tests/bits/engine_node.h"
#include "tests/bits/oracle_cases.h"

namespace lockstep::testing {

enum class KvMode : uint8_t {
  kCached,     // sent twice; the second time the prompt is read from the cache
  kNoKvCache,  // --no-kv-cache
  kNotKept,    // --no-cache-prompt
  kEvicted,    // every 8 tokens all blocks are evicted and computed again
  kMovedOn,    // another node, of another tensor-parallel size, continues half-way
};
inline constexpr int kNKvModes = 5;

struct GridCell {
  size_t prompt = 0;  // of the model's cases
  int n_ranks = 1;
  int32_t block_size = 16;
  KvMode mode = KvMode::kCached;
};

class OracleGrid {
 public:
  explicit OracleGrid(const std::string& name)
      : name_(name), file_(open_oracle_model(name)), cases_(read_oracle_cases(name)) {
    Node node(*file_, setting_of({.mode = KvMode::kNotKept}));
    for (const OracleCase& c : cases_) truth_.push_back(ask_all(node, c));
  }

  std::vector<GridCell> cells() const {
    std::vector<GridCell> out;
    for (size_t prompt = 0; prompt < cases_.size(); ++prompt) {
      for (int n_ranks = 1; n_ranks <= max_ranks(); ++n_ranks) {
        for (int32_t block_size : {1, 16}) {
          for (int mode = 0; mode < kNKvModes; ++mode) {
            out.push_back({prompt, n_ranks, block_size, static_cast<KvMode>(mode)});
          }
        }
      }
    }
    return out;
  }

  void expect_the_oracles(const GridCell& cell) const {
    const OracleCase& c = cases_[cell.prompt];
    SCOPED_TRACE(str(name_, ", prompt of ", c.prompt.size(), ", ranks ", cell.n_ranks, ", block ",
                     cell.block_size, ", mode ", static_cast<int>(cell.mode)));
    const Answer answer = run(cell, c);
    EXPECT_EQ(answer.ids, c.greedy);
    expect_equal(truth_[cell.prompt], answer, "the bits of one run");
    expect_log_probabilities(c, answer);
  }

 private:
  // Sums of a few hundred fp32 terms over a handful of layers; logits are of order 1 to 10.
  static constexpr double kTolerance = 1e-4;
  static constexpr int32_t kEvery = 8;

  // One KV head cannot be sharded.
  int max_ranks() const { return file_->config().shape.n_kv_heads > 1 ? 2 : 1; }

  static Setting setting_of(const GridCell& cell) {
    Setting setting{.n_ranks = cell.n_ranks, .block_size = cell.block_size};
    setting.kv_dtype = DType::kF32;
    setting.max_model_len = 128;
    setting.n_kv_blocks = 256 / cell.block_size;
    setting.kv_cache = cell.mode != KvMode::kNoKvCache;
    setting.prefix_cache = setting.kv_cache && cell.mode != KvMode::kNotKept;
    return setting;
  }

  static SamplingParams greedy(int32_t max_tokens) {
    SamplingParams sampling;
    sampling.temperature = 0;
    sampling.max_tokens = max_tokens;
    sampling.n_logprobs = 0;
    sampling.ignore_eos = true;
    return sampling;
  }

  static Answer ask(Node& node, uint64_t id, const Ids& prompt, size_t max_tokens) {
    node.ask(id, prompt, greedy(static_cast<int32_t>(max_tokens)));
    node.run();
    return node.answer(id);
  }
  static Answer ask_all(Node& node, const OracleCase& c) {
    static uint64_t next_id = 1;
    return ask(node, next_id++, c.prompt, c.greedy.size());
  }
  // Continues `so_far` with n more tokens.
  static void add(Answer& so_far, Node& node, uint64_t id, const OracleCase& c, size_t n) {
    Ids prompt = c.prompt;
    prompt.insert(prompt.end(), so_far.ids.begin(), so_far.ids.end());
    const Answer more = ask(node, id, prompt, n);
    so_far.ids.insert(so_far.ids.end(), more.ids.begin(), more.ids.end());
    so_far.logprobs.insert(so_far.logprobs.end(), more.logprobs.begin(), more.logprobs.end());
  }

  Answer run(const GridCell& cell, const OracleCase& c) const {
    Node node(*file_, setting_of(cell));
    Answer answer;
    if (cell.mode == KvMode::kEvicted) {
      for (uint64_t id = 1; answer.ids.size() < c.greedy.size(); ++id) {
        add(answer, node, id, c, kEvery);
        node.clear();
        EXPECT_EQ(node.answer(id).n_cached, 0u);
      }
    } else if (cell.mode == KvMode::kMovedOn) {
      GridCell other = cell;
      other.n_ranks = 1 + max_ranks() - cell.n_ranks;
      Node elsewhere(*file_, setting_of(other));
      add(answer, node, 1, c, c.greedy.size() / 2);
      add(answer, elsewhere, 1, c, c.greedy.size() - answer.ids.size());
    } else {
      answer = ask_all(node, c);
      if (cell.mode == KvMode::kCached) {
        const Answer again = ask_all(node, c);
        expect_equal(answer, again, "from the cache");
        EXPECT_EQ(again.n_cached, c.prompt.size() - 1);
      }
    }
    return answer;
  }

  // Compares the log-probability of each id with the oracle's logits after the ids before it.
  static void expect_log_probabilities(const OracleCase& c, const Answer& answer) {
    for (size_t i = 0; i < answer.ids.size(); ++i) {
      const std::vector<double>& z = c.logits[c.prompt.size() - 1 + i];
      const double top = *std::max_element(z.begin(), z.end());
      double sum = 0;
      for (double value : z) sum += std::exp(value - top);
      const double expected = z[static_cast<size_t>(answer.ids[i])] - top - std::log(sum);
      ASSERT_NEAR(answer.logprobs[i], expected, kTolerance) << "token " << i;
    }
  }

  const std::string name_;
  const std::unique_ptr<ModelFile> file_;
  const std::vector<OracleCase> cases_;
  std::vector<Answer> truth_;  // [cases]
};

}  // namespace lockstep::testing
