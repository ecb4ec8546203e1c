// Whole models with random weights: the answers of nodes on the GPU, whatever became of a prompt's
// keys and values, against those of a node on the CPU.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "bench/gpu/isolated_cases.h"
#include "bench/gpu/model/one_gpu.h"
#include "bench/gpu/model/random_model.h"
#include "bench/gpu/model/whole_node.h"
#include "bench/gpu/paged_data.h"
#include "bench/gpu/stages.h"
#include "common/hash64.h"
#include "common/load_error.h"
#include "common/log.h"

namespace lockstep::gpu_check {
namespace {

// What becomes of the keys and values of prompts that are sent twice.
enum class Fate : uint8_t { kCached, kNotKept, kEvicted, kThroughHost };
constexpr const char* kFates[] = {"cached", "not kept", "evicted", "through host memory"};

struct Cell {
  size_t model = 0;  // of models_of()
  Fate fate = Fate::kCached;
  int n_ranks = 1;
  int32_t chunk = 64;
  int32_t block_size = 16;
  bool in_a_crowd = false;
  DType kv_dtype = DType::kK16V8;

  std::string text() const {
    return str(name_of(kv_dtype), ", TP ", n_ranks, ", chunk ", chunk, ", block ", block_size, ", ",
               kFates[static_cast<size_t>(fate)], in_a_crowd ? ", in a crowd" : "");
  }
};

// All weight types; heads for 1, 2 and 4 ranks.
std::vector<RandomModelSpec> models_of(Sizes sizes) {
  RandomModelSpec tiny{.name = "tiny, all types",
                       .shape = {.hidden_dim = 128,
                                 .n_heads = 8,
                                 .n_kv_heads = 4,
                                 .head_dim = 32,
                                 .ffn_dim = 256,
                                 .vocab_size = 300},
                       .n_layers = 2,
                       .matrices = WeightType::kQ4_0,
                       .types = {{"attn_v", WeightType::kQ8_0},
                                 {"blk.0.attn_output", WeightType::kQ5_1},
                                 {"blk.1.attn_output", WeightType::kQ6_K},
                                 {"blk.0.ffn_down", WeightType::kQ5_0},
                                 {"blk.1.ffn_down", WeightType::kQ5_K},
                                 {"blk.0.ffn_gate", WeightType::kQ4_1},
                                 {"blk.1.ffn_gate", WeightType::kQ4_K},
                                 {"ffn_up", WeightType::kBF16},
                                 {"attn_k", WeightType::kF32},
                                 {"token_embd", WeightType::kF16},
                                 {"output.weight", WeightType::kQ8_0}},
                       .qkv_bias = true,
                       .tied_embeddings = false};
  if (sizes == Sizes::kSmall) {
    tiny.shape = {.hidden_dim = 64,
                  .n_heads = 4,
                  .n_kv_heads = 2,
                  .head_dim = 16,
                  .ffn_dim = 128,
                  .vocab_size = 100};
    return {tiny};
  }
  RandomModelSpec wide = tiny;  // leaves of 16 lanes
  wide.name = "2080 wide";
  wide.shape.hidden_dim = 2080;
  wide.architecture = "qwen2";
  const RandomModelSpec small{.name = "135M Q8_0",
                              .shape = {.hidden_dim = 576,
                                        .n_heads = 8,
                                        .n_kv_heads = 4,
                                        .head_dim = 64,
                                        .ffn_dim = 1536,
                                        .vocab_size = 49152},
                              .n_layers = 30};
  RandomModelSpec four_bits = small;
  four_bits.name = "135M Q4_1";
  four_bits.matrices = WeightType::kQ4_1;
  RandomModelSpec k_quants = small;  // the mixture of Q4_K_M, in rows of whole super-blocks
  k_quants.name = "180M Q4_K_M";
  k_quants.shape.hidden_dim = 768;
  k_quants.matrices = WeightType::kQ4_K;
  k_quants.types = {{"attn_v", WeightType::kQ6_K},
                    {"ffn_down", WeightType::kQ6_K},
                    {"token_embd", WeightType::kQ6_K}};
  return {tiny, small, wide, four_bits, k_quants};
}

std::vector<Cell> cells_of(size_t n_models, Sizes sizes) {
  std::vector<Cell> cells;
  const std::vector<int> ranks = sizes == Sizes::kLarge ? std::vector{1, 2, 4} : std::vector{1, 2};
  for (size_t model = 0; model < n_models; ++model) {
    for (const int n_ranks : ranks) {
      for (size_t fate = 0; fate < std::size(kFates); ++fate) {
        Cell cell{.model = model, .fate = static_cast<Fate>(fate), .n_ranks = n_ranks};
        cell.chunk = (fate / 2 + static_cast<size_t>(n_ranks)) % 2 == 0 ? 16 : 320;
        cell.block_size = fate % 2 == 0 ? 16 : 8;
        cell.in_a_crowd = fate % 3 == 1;
        const bool is_sampled = (fate + static_cast<size_t>(n_ranks)) % 2 == 1;
        if (sizes == Sizes::kLarge || is_sampled) cells.push_back(cell);
      }
    }
    if (sizes == Sizes::kSmall) continue;
    for (const DType dtype : {DType::kK16V16, DType::kF16}) {
      cells.push_back({.model = model, .fate = Fate::kThroughHost, .kv_dtype = dtype});
    }
  }
  return cells;
}

struct Lengths {
  int n_prompt = 46;
  int32_t n_outputs = 40;
  int32_t pool_tokens = 200;  // of a pool in which blocks are evicted
};
Lengths lengths_of(Sizes sizes) { return sizes == Sizes::kLarge ? Lengths{} : Lengths{18, 3, 96}; }

std::vector<int32_t> random_prompt(uint64_t seed, int n, int64_t vocab_size) {
  Random random(seed);
  std::vector<int32_t> ids(static_cast<size_t>(n));
  for (int32_t& id : ids) id = static_cast<int32_t>(random.integer(0, vocab_size - 1));
  return ids;
}

constexpr uint64_t kSeeds[] = {2, 3, 5};  // of the answers that are compared; even: greedy

// The cells of one process. Models and the answers of the CPU are made when they are needed.
class CellRunner {
 public:
  CellRunner(const Options& options, const Gpus& gpus)
      : lengths_(lengths_of(options.sizes)),
        specs_(models_of(options.sizes)),
        devices_(one_gpu(gpus.module, gpus.devices.front().idx)) {}

  // Returns "" if all answers are the CPU's, else what is wrong.
  std::string run(const Cell& cell, uint64_t& hash, int& n_tokens) {
    const std::vector<Answer>& truth = truth_of(cell);
    NodeSetting setting{.devices = devices_,
                        .n_ranks = cell.n_ranks,
                        .kv_dtype = cell.kv_dtype,
                        .block_size = cell.block_size,
                        .chunk = cell.chunk,
                        .prefix_cache = cell.fate != Fate::kNotKept};
    const bool evicts = cell.fate == Fate::kEvicted || cell.fate == Fate::kThroughHost;
    if (evicts) setting.pool_tokens = lengths_.pool_tokens;
    if (cell.fate == Fate::kThroughHost) setting.host_tokens = 1000;
    WholeNode node(*model_, setting);
    std::string wrong;
    for (uint64_t round = 0; round < 2; ++round) {
      const uint64_t first_id = 100 * (round + 1);
      for (size_t i = 0; i < truth.size(); ++i) ask(node, first_id + i, kSeeds[i]);
      if (cell.in_a_crowd) ask_others(node, first_id + 20, 3);
      node.run();
      for (size_t i = 0; i < truth.size(); ++i) {
        const Answer& answer = node.answer(first_id + i);
        n_tokens += static_cast<int>(answer.ids.size());
        add_to(hash, answer);
        if (!(answer == truth[i]) && wrong.empty()) {
          wrong = difference(truth[i], answer, str("round ", round, ", seed ", kSeeds[i]));
        }
      }
      if (evicts) ask_others(node, first_id + 40, 6);
      node.run();
    }
    if (evicts && node.snapshot().n_blocks_evicted == 0) wrong = "no block was evicted";
    if (cell.fate == Fate::kThroughHost && node.snapshot().n_host_loaded == 0) {
      wrong = "no block was loaded from host memory";
    }
    return wrong;
  }

  const std::string& name(const Cell& cell) const { return specs_[cell.model].name; }

 private:
  const std::vector<Answer>& truth_of(const Cell& cell) {
    if (model_ == nullptr || model_idx_ != cell.model) {
      model_ = std::make_unique<RandomModel>(specs_[cell.model]);
      model_idx_ = cell.model;
      truths_.clear();
    }
    std::vector<Answer>& truth = truths_[cell.kv_dtype];
    if (truth.empty()) {
      const auto n_threads = static_cast<int>(std::thread::hardware_concurrency());
      WholeNode node(*model_, {.threads_per_rank = n_threads, .kv_dtype = cell.kv_dtype});
      for (const uint64_t seed : kSeeds) {
        ask(node, seed, seed);
        node.run();
        truth.push_back(node.answer(seed));
      }
    }
    return truth;
  }

  void ask(WholeNode& node, uint64_t id, uint64_t seed) const {
    node.ask(id, random_prompt(seed, lengths_.n_prompt, vocab_size()), lengths_.n_outputs, seed);
  }
  void ask_others(WholeNode& node, uint64_t first_id, int n) const {
    for (uint64_t i = 0; i < static_cast<uint64_t>(n); ++i) {
      node.ask(first_id + i, random_prompt(first_id + i, lengths_.n_prompt + 11, vocab_size()), 5,
               first_id + i);
    }
  }
  int64_t vocab_size() const { return model_->config().shape.vocab_size; }

  static void add_to(uint64_t& hash, const Answer& answer) {
    for (const int32_t id : answer.ids) hash = mix64(hash + static_cast<uint64_t>(id) + 1);
    for (const float logprob : answer.logprobs) {
      hash = mix64(hash + std::bit_cast<uint32_t>(logprob) + 1);
    }
  }

  static std::string difference(const Answer& expected, const Answer& got,
                                const std::string& where) {
    if (!got.error.empty()) return str(where, ": ", got.error);
    const auto ids = std::ranges::mismatch(expected.ids, got.ids);
    if (ids.in1 == expected.ids.end() && ids.in2 == got.ids.end()) {
      return str(where, ": equal ids, other log-probabilities");
    }
    return str(where, ": another id at ", ids.in1 - expected.ids.begin());
  }

  const Lengths lengths_;
  const std::vector<RandomModelSpec> specs_;
  const std::shared_ptr<const DeviceProvider> devices_;
  std::unique_ptr<RandomModel> model_;
  size_t model_idx_ = 0;
  std::map<DType, std::vector<Answer>> truths_;  // of the model, [seeds]
};

}  // namespace

int check_models(const Options& options, Report& report) {
  const std::vector<RandomModelSpec> models = models_of(options.sizes);
  const std::vector<Cell> cells = cells_of(models.size(), options.sizes);
  int64_t n_equal = 0, n_wrong = 0;
  const auto record = [&](int64_t i, const std::string& text, bool is_right) {
    const Cell& cell = cells[static_cast<size_t>(i)];
    const std::string& model = models[cell.model].name;
    ++(is_right ? n_equal : n_wrong);
    report.result(str(is_right ? "equal  " : "WRONG  ", model, ", ", cell.text(), ": ", text),
                  JsonObject()
                      .add("op", model)
                      .add("what", cell.text())
                      .add(is_right ? "result" : "fault", text));
  };
  const int64_t n_run =
      run_isolated(options,
                   {.stage = "model-cells",
                    .n = std::ssize(cells),
                    .done =
                        [&](int64_t i, const std::string& text) {
                          record(i, text.substr(6), text.starts_with("equal "));
                        },
                    .died = [&](int64_t i, const std::string& how) { record(i, how, false); }},
                   report);
  if (n_run < 0) {
    report.skipped("no GPU");
    return kExitNoGpu;
  }
  return report.ended(n_wrong == 0, str(n_equal, " of ", cells.size(),
                                        " cells give the CPU's answers, ", n_wrong, " do not"));
}

int run_model_cells(const Options& options, const Gpus& gpus) {
  CellRunner runner(options, gpus);
  const std::vector<Cell> cells = cells_of(models_of(options.sizes).size(), options.sizes);
  for (int64_t i = options.first_case; i < std::ssize(cells); ++i) {
    print_case(i);
    const auto begin = std::chrono::steady_clock::now();
    uint64_t hash = 0;
    int n_tokens = 0;
    std::string wrong;
    try {
      wrong = runner.run(cells[static_cast<size_t>(i)], hash, n_tokens);
    } catch (const LoadError& error) {
      wrong = error.what();
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    char text[80];
    std::snprintf(text, sizeof text, "%d tokens, hash %016lx, %.1f s", n_tokens,
                  static_cast<unsigned long>(hash), seconds);
    print_done(i, (wrong.empty() ? "equal " : "wrong " + wrong + "; ") + text);
  }
  return kExitRight;
}

}  // namespace lockstep::gpu_check
