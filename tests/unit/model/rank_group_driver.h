// A RankGroup on a fake model, and a driver that runs plans on it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "node/model/rank/rank_group.h"
#include "tests/support/fake_model_file.h"

namespace lockstep::testing {

using Ids = std::vector<int32_t>;

inline RankGroupConfig config_of(int n_ranks) {
  RankGroupConfig config;
  config.n_ranks = n_ranks;
  config.limits = {.max_tokens = 32,
                   .max_seqs = 4,
                   .max_samples = 4,
                   .max_model_len = 64,
                   .block_size = 16,
                   .max_banned = 4};
  config.n_kv_blocks = 16;
  return config;
}

// A group and a builder for plans of one sequence in slot 0, whose table is blocks 0, 1, 2, 3.
class RankGroupDriver {
 public:
  RankGroupDriver(const ModelFile& file, const RankGroupConfig& config)
      : group(file, config, ledger), builder_(config.limits) {}

  std::span<const std::byte> plan(int32_t first_position, const Ids& tokens) {
    builder_.begin(++n_steps);
    const std::array<BlockId, 4> blocks{BlockId{0}, BlockId{1}, BlockId{2}, BlockId{3}};
    builder_.add_sequence(0, first_position, tokens, blocks);
    SamplingRow row;
    row.temperature = 0.0f;
    row.n_logprobs = 3;
    row.n_known = first_position + static_cast<int32_t>(tokens.size());
    builder_.add_sample(row);
    return builder_.finish();
  }
  const StepResult& run(int32_t first_position, const Ids& tokens) {
    group.submit(plan(first_position, tokens));
    return wait();
  }
  const StepResult& wait() {
    group.wait_result(result);
    return result;
  }

  MemoryLedger ledger;
  uint64_t n_steps = 0;
  StepResult result;
  RankGroup group;

 private:
  StepPlanBuilder builder_;
};

}  // namespace lockstep::testing
