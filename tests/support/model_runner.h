// ModelRunner: drives a RankGroup with StepPlans as the engine does, but without an engine: prefill
// in chunks, greedy decoding. It keeps the logits of every sampled row. It allocates KV blocks in
// shuffled order, so that no result depends on contiguous blocks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "node/model/rank/rank_group.h"

namespace lockstep::testing {

struct RunnerOptions {
  std::shared_ptr<const DeviceProvider> devices = cpu_devices();
  int n_ranks = 1;
  int threads_per_rank = 1;
  Isa isa = best_isa();
  DType kv_dtype = DType::kK16V8;
  int32_t block_size = 16;
  int32_t chunk = 64;  // prompt tokens of one sequence in one step
  int32_t max_seqs = 8;
  int32_t max_model_len = 256;
};

using Ids = std::vector<int32_t>;
using Logits = std::vector<float>;  // [vocab_size]

struct Generation {
  Ids ids;
  std::vector<Logits> logits;  // one element per sampled id
};

class ModelRunner {
 public:
  ModelRunner(const ModelFile& file, const RunnerOptions& options);

  // Decodes n_new greedy tokens after the prompt; no other sequence runs.
  Generation generate(const Ids& prompt, int n_new);
  // Does the same for several prompts in the same steps.
  std::vector<Generation> generate_together(const std::vector<Ids>& prompts, int n_new);
  // Returns the logits after each of the given tokens, which need not be the model's choices. Row i
  // follows tokens[i]; max_seqs rows are computed in one step.
  std::vector<Logits> forced_logits(const Ids& tokens);
  // Returns the logits after the last token. The first n_past tokens are computed in one step, the
  // others in the next step.
  Logits last_logits(const Ids& tokens, int32_t n_past);

  RankGroup& group() { return group_; }
  const MemoryLedger& ledger() const { return ledger_; }
  const RankGroupConfig& config() const { return config_; }

 private:
  struct Sequence {
    Ids tokens;
    int32_t n_computed = 0;
    std::vector<BlockId> blocks;
    Generation out;
  };

  static RankGroupConfig group_config(const RunnerOptions& options, ModelRunner* runner);
  std::vector<BlockId> blocks_of(int slot) const;
  // Runs a step with one chunk of every unfinished sequence.
  void step(std::vector<Sequence>& sequences, int n_new);
  void run_plan();

  RunnerOptions options_;
  RankGroupConfig config_;
  MemoryLedger ledger_;
  std::vector<BlockId> shuffled_;
  uint64_t n_steps_ = 0;
  std::vector<float> step_logits_;  // written on rank 0's thread, read after wait_result
  StepPlanBuilder builder_;
  StepResult result_;
  RankGroup group_;
};

// Makes prompts of the given lengths, with ids spread over the vocabulary.
Ids random_prompt(int n_tokens, int64_t vocab_size, uint64_t seed);

// Fails, and names the first difference, unless the ids and the bits of all logits are equal.
void expect_same_bits(const Generation& actual, const Generation& expected,
                      const std::string& what);

}  // namespace lockstep::testing
