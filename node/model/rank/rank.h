// Rank: one tensor-parallel rank: its shard of the weights, its KV bytes, its workspace, its stream
// and the forward pass over them. Built and used on the rank's own thread, so that memory is first
// touched where it is read.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/memory/ledger.h"
#include "common/threads/progress.h"
#include "node/kv/block_store.h"
#include "node/kv/host/host_block_store.h"
#include "node/model/forward/transformer.h"
#include "node/model/forward/workspace.h"
#include "node/model/rank/rank_group.h"
#include "node/model/weights/fingerprint.h"
#include "node/model/weights/weights.h"
#include "node/step/executor.h"

namespace lockstep {

// How one rank's part of a step ended. The message is set on failure only.
struct RankOutcome {
  StepStatus status = StepStatus::kOk;
  std::string message;
  bool is_cause = false;  // false: this rank only saw that a peer had given up
  std::vector<HostBlockId> bad_host_blocks = {};  // kBadHostBlock: what it could not load
};

class Rank {
 public:
  // References must outlive the object. `progress`: of the rank's threads, its own one first.
  // Throws LoadError.
  Rank(const ModelFile& file, const ShardPlan& plan, int rank, const RankGroupConfig& config,
       const View& cos_sin, std::span<ProgressCounter> progress, MemoryLedger& ledger);

  // Runs one plan. Never throws: whatever goes wrong is in the outcome, naming this rank and the
  // op, and the peers are told to give up. --sanitize-kv: nan_blocks are filled with NaN once what
  // they held has been stored in host memory, before anything else is done.
  RankOutcome run(std::span<const std::byte> plan, std::span<const BlockId> nan_blocks,
                  Communicator& communicator);
  // The samples of the last plan, on rank 0. result's arrays must have room.
  void read_samples(const StepPlanHeader& header, StepResult& result) const;
  // StepResult::kv_finite as far as this rank's part of the last plan goes; [at least n_seqs].
  void read_kv_finite(const StepPlanView& plan, std::span<uint8_t> kv_finite) const;

  const char* backend() const { return stream_->name(); }
  std::vector<UnitDigest> take_digests() { return std::move(loaded_.digests); }

 private:
  RankOutcome run_agreed(const StepPlanView& plan, std::span<const BlockId> nan_blocks,
                         Communicator& communicator);
  void store_in_host(const StepPlanView& plan);
  std::vector<HostBlockId> load_from_host(const StepPlanView& plan);
  RankOutcome failed(StepStatus status, const std::string& where, const std::string& cause) const;
  RankOutcome comm_failed(CommResult result, const std::string& where) const;

  const int rank_;
  const RankGroupConfig& config_;
  ProgressCounter& progress_;
  std::unique_ptr<Stream> stream_;
  LoadedWeights loaded_;
  BlockStore kv_;
  std::optional<HostBlockStore> host_kv_;  // if there is a host tier
  Workspace workspace_;
  Transformer transformer_;
};

}  // namespace lockstep
