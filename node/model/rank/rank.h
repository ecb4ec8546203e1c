// Rank: one tensor-parallel rank. Owns its device and stream, its shard of the weights, its KV
// bytes, its workspace and the forward pass over them. Built and used on the rank's own thread, so
// that memory is first touched by the thread that reads it (NUMA).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/memory/ledger.h"
#include "common/threads/progress.h"
#include "kernels/device.h"
#include "kernels/mirrored_buffer.h"
#include "node/kv/block_store.h"
#include "node/kv/host/host_block_store.h"
#include "node/model/forward/faulty_stream.h"
#include "node/model/forward/transformer.h"
#include "node/model/forward/workspace.h"
#include "node/model/rank/rank_group.h"
#include "node/model/weights/fingerprint.h"
#include "node/model/weights/rope_table.h"
#include "node/model/weights/weights.h"
#include "node/step/executor.h"

namespace lockstep {

// How one rank's part of a step ended. The message is set on failure only.
struct RankOutcome {
  StepStatus status = StepStatus::kOk;
  std::string message;
  bool is_cause = false;  // false: the rank failed only because another rank aborted the step
  std::vector<HostBlockId> bad_host_blocks = {};  // kBadHostBlock: blocks with a wrong checksum
};

class Rank {
 public:
  // References must outlive the object. `progress` has a counter for each of the rank's threads,
  // the rank thread's first. Throws LoadError.
  Rank(const ModelFile& file, const ShardPlan& plan, int rank, const RankGroupConfig& config,
       const RopeTable& rope, std::span<ProgressCounter> progress, MemoryLedger& ledger);

  // Runs one plan. Never throws: a failure is in the outcome, with this rank and the op in its
  // message, and aborts the other ranks' collectives. --sanitize-kv: nan_blocks are filled with NaN
  // after the plan's stores to host memory and before anything else.
  RankOutcome run(std::span<const std::byte> plan, std::span<const BlockId> nan_blocks,
                  Communicator& communicator);
  // Copies the samples of the last plan into `result`, whose arrays must be large enough. Rank 0
  // only.
  void read_samples(const StepPlanHeader& header, StepResult& result) const;
  // StepResult::kv_finite of the last plan, for this rank's heads. kv_finite: [at least n_seqs].
  void read_kv_finite(const StepPlanView& plan, std::span<uint8_t> kv_finite) const;

  const char* backend() const { return stream_->name(); }
  std::vector<UnitDigest> take_digests() { return std::move(loaded_.digests); }

 private:
  RankOutcome run_agreed(const StepPlanView& plan, std::span<const BlockId> nan_blocks,
                         Communicator& communicator);
  // Copies the plan to the device, for the ops of its step.
  StepInputs upload(const StepPlanView& plan);
  void store_in_host(const StepPlanView& plan);
  std::vector<HostBlockId> load_from_host(const StepPlanView& plan);
  RankOutcome failed(StepStatus status, const std::string& where, const std::string& cause) const;
  RankOutcome comm_failed(CommResult result, const std::string& where) const;

  const int rank_;
  const RankGroupConfig& config_;
  ProgressCounter& progress_;
  const std::unique_ptr<Device> device_;
  const std::unique_ptr<RankStream> stream_;
  const DeviceRopeTable rope_;
  LoadedWeights loaded_;
  BlockStore kv_;
  std::optional<HostBlockStore> host_kv_;  // set if there is a host tier
  Workspace workspace_;
  std::array<MirroredBuffer, kMaxStepsInFlight> plans_;  // the plans of the steps in flight
  uint64_t n_run_ = 0;                                   // plans
  Transformer transformer_;
};

}  // namespace lockstep
