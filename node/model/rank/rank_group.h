// RankGroup: the Executor that runs a real model on N rank threads (tensor parallelism). Owns for
// each rank its shard of the weights, its KV blocks, its workspace, its stream and its
// communicator; all are sized once, at start. If a rank throws, the exception is caught, the other
// ranks' collectives are aborted, and the step fails with a message that names that rank. Called by
// the engine thread, progress() by any thread.
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
#include "parallel/devices/device_provider.h"

namespace lockstep {

struct RankGroupConfig {
  std::shared_ptr<const DeviceProvider> devices = cpu_devices();  // --device
  std::string why_cpu;  // what --device auto lacked for cuda; empty if it had all or was not asked
  int n_ranks = 1;      // --tensor-parallel-size
  int threads_per_rank = 1;  // --threads-per-rank
  Isa isa = best_isa();
  DType kv_dtype = DType::kK16V8;
  int32_t n_kv_blocks = 0;
  std::string kv_pool_setting;  // "num_kv_blocks: 64", for messages; empty = not known
  bool kv_cache = true;         // false: the blocks are scratch memory of one forward pass
  StepLimits limits;
  // A rank that waits for the others in a collective aborts the step after collective_ticks ticks
  // of watch_tick in which no rank made progress. The watchdog has a longer timeout, after which it
  // ends the process (WatchConfig).
  std::chrono::milliseconds watch_tick{100};
  int collective_ticks = 50;
  // Tests only: changes the configuration of one rank before the rank starts.
  std::function<void(int rank, RankGroupConfig& rank_config)> on_rank_config;
  // Tests only: receives the raw logits [n_samples, vocab_size] of every step, on rank 0's thread.
  std::function<void(uint64_t step, std::span<const float> logits)> on_logits;
};

inline constexpr int kMaxStepsInFlight = 2;  // one runs while the engine plans the next

class RankGroup final : public Executor {
 public:
  // Loads the model (each rank reads its own shard) and starts the rank threads. Throws LoadError;
  // if the ranks' configurations differ, before anything is read.
  RankGroup(const ModelFile& file, const RankGroupConfig& config, MemoryLedger& ledger);
  ~RankGroup() override;

  void submit(std::span<const std::byte> plan) override;
  int max_steps_in_flight() const override;
  void fill_with_nan(std::span<const BlockId> blocks) override;
  void wait_result(StepResult& result) override;
  uint64_t progress() const override;

  const ModelConfig& model() const;
  // "cpu/avx2 x2 threads x2 ranks", "cuda/NVIDIA H200 x2 ranks"
  std::string backend_name() const;
  const std::vector<RankSettings>& settings() const;  // [n_ranks], in effect on each rank
  // See make_fingerprint().
  std::string numerics_fingerprint() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Bytes of one KV block over all layers, on the rank with the most KV heads.
int64_t kv_block_bytes_per_rank(const ModelConfig& model, const RankGroupConfig& config);

}  // namespace lockstep
