// CacheMatrix: whether a prompt's keys and values are cached, evicted, loaded or computed again,
// its answers are the same, greedy and sampled: at every tensor-parallel size, block size and
// chunk, alone and next to other requests. tests/bits runs a sample of the cells, tests/slow/bits
// all.
#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "tests/bits/engine_node.h"

namespace lockstep::testing {

enum class Fate : uint8_t {
  kCached,         // sent twice; the second time the prompt is read from the cache
  kNotKept,        // --no-cache-prompt
  kNoKvCache,      // all keys and values are computed again for each token
  kEvicted,        // sent twice; its blocks are evicted before the second time
  kThroughHost,    // like kEvicted, and its blocks are loaded from host memory
  kPreempted,      // the sequence is preempted before it ends
  kPartlyMatched,  // another prompt with the same first tokens is cached
};
inline constexpr int kNFates = 7;
inline constexpr int32_t kMaxOffset = 33;

struct Cell {
  Fate fate = Fate::kCached;
  int n_ranks = 1;
  int32_t block_size = 16;
  int32_t chunk = 64;
  bool in_a_crowd = false;
  int32_t offset = 1;  // kPartlyMatched: number of equal first tokens, at most kMaxOffset

  std::string name() const {
    return str("fate ", static_cast<int>(fate), ", ranks ", n_ranks, ", block ", block_size,
               ", chunk ", chunk, in_a_crowd ? ", in a crowd" : ", alone", ", offset ", offset);
  }
};

class CacheMatrix {
 public:
  explicit CacheMatrix(std::shared_ptr<const DeviceProvider> devices = cpu_devices())
      : CacheMatrix(std::make_shared<FakeModelFile>(nine_heads().spec), std::move(devices)) {}
  // The cells run on `devices`; the transcripts that they must give are the CPU's.
  explicit CacheMatrix(std::shared_ptr<const ModelFile> model,
                       std::shared_ptr<const DeviceProvider> devices = cpu_devices())
      : model_(std::move(model)),
        devices_(std::move(devices)),
        prompt_(random_prompt(46, vocab_size(), 3)) {
    Node node(*model_, {.prefix_cache = false});
    for (uint64_t seed : kSeeds) {
      node.ask(seed, prompt_, sampled(seed, kOutputs));
      node.run();
      truth_.push_back(node.answer(seed));
    }
  }

  // n cells of each fate.
  static std::vector<Cell> sample(int n, uint64_t seed) {
    const std::vector<Cell> all = cells();
    SeededRandom random(seed);
    std::vector<Cell> out;
    for (int fate = 0; fate < kNFates; ++fate) {
      std::vector<Cell> of_fate;
      std::ranges::copy_if(all, std::back_inserter(of_fate),
                           [&](const Cell& cell) { return static_cast<int>(cell.fate) == fate; });
      for (int i = 0; i < n; ++i) {
        out.push_back(of_fate[static_cast<size_t>(random.integer(0, std::ssize(of_fate) - 1))]);
      }
    }
    return out;
  }

  // All cells; kPartlyMatched with every offset.
  static std::vector<Cell> cells() {
    std::vector<Cell> out;
    for (int fate = 0; fate < kNFates; ++fate) {
      const bool is_partly = fate == static_cast<int>(Fate::kPartlyMatched);
      for (int n_ranks : {1, 2, 3}) {
        for (int32_t block_size : {1, 8, 16, 32}) {
          for (int32_t chunk : {1, 16, 320}) {
            for (bool in_a_crowd : {false, true}) {
              for (int32_t offset = 1; offset <= (is_partly ? kMaxOffset : 1); ++offset) {
                out.push_back(
                    {static_cast<Fate>(fate), n_ranks, block_size, chunk, in_a_crowd, offset});
              }
            }
          }
        }
      }
    }
    return out;
  }

  void expect_the_transcript(const Cell& cell) const {
    SCOPED_TRACE(cell.name());
    Setting setting = setting_of(cell);
    setting.devices = devices_;
    Node node(*model_, setting);
    prepare(node, cell);
    for (int round = 0; round < 2; ++round) {
      uint64_t first_id = 10 + 10 * static_cast<uint64_t>(round);
      for (size_t i = 0; i < truth_.size(); ++i) {
        node.ask(first_id + i, prompt_, sampled(kSeeds[i], kOutputs));
      }
      if (cell.in_a_crowd) ask_strangers(node, 100 + 10 * first_id, 25, 9);
      node.run();
      for (size_t i = 0; i < truth_.size(); ++i) {
        expect_equal(truth_[i], node.answer(first_id + i), str("round ", round, ", seed ", i));
      }
      if (round == 0) expect_the_fate(node, cell);
      if (is_evicted(cell)) ask_strangers(node, 1000 + first_id, 60, 8);
      node.run();
    }
    if (is_evicted(cell)) {
      EXPECT_GT(node.snapshot().n_blocks_evicted, 0u);
    }
    if (cell.fate == Fate::kThroughHost) {
      EXPECT_GT(node.snapshot().n_host_loaded, 0u);
    }
  }

 private:
  static constexpr uint64_t kSeeds[] = {2, 3};  // even: greedy, odd: sampled
  static constexpr int32_t kOutputs = 40;

  int64_t vocab_size() const { return model_->config().shape.vocab_size; }

  static bool is_evicted(const Cell& cell) {
    return cell.fate == Fate::kEvicted || cell.fate == Fate::kThroughHost;
  }

  static Setting setting_of(const Cell& cell) {
    Setting setting{.n_ranks = cell.n_ranks, .block_size = cell.block_size, .chunk = cell.chunk};
    // A step has a row for each running sequence. With three others, a chunk of 1 is the one row
    // that they leave.
    const bool runs_alone = !cell.in_a_crowd && cell.fate != Fate::kPreempted;
    setting.max_seqs = cell.chunk == 1 && runs_alone ? 1 : 4;
    setting.chunk = std::max(cell.chunk, setting.max_seqs);
    setting.n_kv_blocks = n_blocks_for(n_pool_tokens(cell), cell.block_size);
    if (cell.fate == Fate::kThroughHost) {
      setting.n_host_kv_blocks = n_blocks_for(1000, cell.block_size);
    }
    setting.prefix_cache = cell.fate != Fate::kNotKept && cell.fate != Fate::kNoKvCache;
    setting.kv_cache = cell.fate != Fate::kNoKvCache;
    return setting;
  }

  static int32_t n_pool_tokens(const Cell& cell) {
    // The two answers of 86 tokens share the whole blocks of 46 tokens, and do not fit together.
    if (cell.fate == Fate::kPreempted) return cell.block_size == 32 ? 128 : 96;
    if (is_evicted(cell)) return 200;
    return cell.fate == Fate::kNoKvCache ? 320 : 600;
  }

  void prepare(Node& node, const Cell& cell) const {
    if (cell.fate == Fate::kPreempted) {  // short answers, so that little is reserved
      ask_strangers(node, 500, 3, 1);
      node.run();
    }
    if (cell.fate != Fate::kPartlyMatched) return;
    Ids other = prompt_;
    other.resize(static_cast<size_t>(cell.offset));
    const int32_t next = prompt_[static_cast<size_t>(cell.offset)];
    other.push_back((next + 1) % static_cast<int32_t>(vocab_size()));
    const Ids rest = random_prompt(40, vocab_size(), 9);
    other.insert(other.end(), rest.begin(), rest.end());
    node.ask(1, other, sampled(1, 4));
    node.run();
  }

  void expect_the_fate(Node& node, const Cell& cell) const {
    if (cell.fate == Fate::kPartlyMatched) {
      EXPECT_EQ(node.answer(10).n_cached, static_cast<uint64_t>(cell.offset));
    }
    // With others, a pool of four blocks may have room for one sequence at a time.
    if (cell.fate == Fate::kPreempted && !(cell.in_a_crowd && cell.block_size == 32)) {
      EXPECT_GT(node.snapshot().n_preemptions, 0u);
    }
  }

  void ask_strangers(Node& node, uint64_t first_id, int n_prompt, int32_t n_outputs) const {
    for (uint64_t i = 0; i < 3; ++i) {
      node.ask(first_id + i, random_prompt(n_prompt, vocab_size(), first_id + i),
               sampled(first_id + i, n_outputs));
    }
  }

  const std::shared_ptr<const ModelFile> model_;
  const std::shared_ptr<const DeviceProvider> devices_;
  const Ids prompt_;
  std::vector<Answer> truth_;  // [seeds]
};

}  // namespace lockstep::testing
