// RankGroup: the Executor that runs a real model on N rank threads. Owns, per rank: its shard of
// the weights, its KV pages, its workspace, its stream and its communicator; all are sized once, at
// start. A rank that throws is caught and blamed; the others are aborted, and the step fails.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "common/memory/ledger.h"
#include "node/model/model_file.h"
#include "node/model/rank/rank_settings.h"
#include "node/step/executor.h"
#include "node/step/step_plan.h"

namespace lockstep {

struct RankGroupConfig {
  int n_ranks = 1;           // --tensor-parallel-size
  int threads_per_rank = 1;  // --threads-per-rank
  Isa isa = best_isa();
  DType kv_dtype = DType::kF16;
  int32_t n_kv_blocks = 0;
  bool kv_cache = true;  // false: the blocks are scratch of one pass
  StepLimits limits;
  // A rank that waits for its peers gives the step up when none of them has got on for so many of
  // its own ticks. The engine's watch is more patient, and ends the process (WatchConfig).
  std::chrono::milliseconds watch_tick{100};
  int collective_ticks = 50;
  // Tests only: changes what one rank is told, before it starts.
  std::function<void(int rank, RankGroupConfig& told)> on_rank_config;
  // Tests only: sees the raw logits [n_samples, vocab_size] of every step, on rank 0's thread.
  std::function<void(uint64_t step, std::span<const float> logits)> on_logits;
};

class RankGroup final : public Executor {
 public:
  // Loads the model (each rank reads its own shard) and starts the rank threads. Throws LoadError,
  // before anything is read if the ranks have been told different things.
  RankGroup(const ModelFile& file, const RankGroupConfig& config, MemoryLedger& ledger);
  ~RankGroup() override;

  void submit(std::span<const std::byte> plan) override;
  int max_steps_in_flight() const override;
  void fill_with_nan(int group, std::span<const BlockId> blocks) override;
  void wait_result(StepResult& result) override;
  uint64_t progress() const override;

  const ModelConfig& model() const;
  std::string backend_name() const;                   // "cpu/avx2 x2 threads x2 ranks"
  const std::vector<RankSettings>& settings() const;  // [n_ranks], as each has them in effect
  // See make_fingerprint().
  std::string numerics_fingerprint() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Throws LoadError if the model's heads cannot be kept in this type.
void check_kv_dtype(const ModelConfig& model, DType kv_dtype);

// Bytes of one KV block over all layers on the rank that holds most.
int64_t kv_block_bytes_per_rank(const ModelConfig& model, const RankGroupConfig& config);

}  // namespace lockstep
