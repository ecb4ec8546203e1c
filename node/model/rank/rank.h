// Rank: one tensor-parallel rank. Owns its device and stream, its shard of the weights, its KV
// bytes, its workspace and the forward pass over them. Built and used on the rank's own thread, so
// that memory is first touched by the thread that reads it (NUMA).
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/memory/ledger.h"
#include "common/threads/progress.h"
#include "kernels/device.h"
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

// How long a rank's thread sleeps before it looks at its device again, after some looks without.
constexpr std::chrono::microseconds kBetweenLooks{20};

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

  // Queues one plan on the rank's stream; a CPU has computed the step when it returns. Never
  // throws: a failure is in the outcome that finish() returns, with this rank and the op in its
  // message, and aborts the other ranks' collectives, and so the steps that still run. A step with
  // a bad host block fails on every rank alike and aborts nothing. Returns false if the step has
  // failed already.
  // --sanitize-kv: nan_blocks are filled with NaN after the plan's stores to host memory and before
  // anything else. Plan and communicator must outlive the step.
  [[nodiscard]] bool enqueue(std::span<const std::byte> plan, std::span<const BlockId> nan_blocks,
                             Communicator& communicator);
  // The most steps that may be queued and not finished. 1 on a CPU, where a second one would only
  // delay the results of the first.
  int max_unfinished() const;
  // Whether the oldest unfinished step is done, has failed or cannot be done any more. To be polled
  // until it is true.
  bool is_over();
  // Ends the oldest unfinished step, which is over. After success it copies the samples into
  // `samples`, unless that is null (as on ranks other than 0), and StepResult::kv_finite of this
  // rank's heads into kv_finite [at least n_seqs].
  RankOutcome finish(StepResult* samples, std::span<uint8_t> kv_finite);
  // Computes the checksums of the blocks that finished steps have stored in host memory. To be
  // called after finish(), when the result is delivered: no result depends on them, only a load.
  void finish_stores();

  // What computes: "cpu/avx2 x2 threads", "cuda/NVIDIA H200".
  std::string backend() const;
  std::vector<UnitDigest> take_digests() { return std::move(loaded_.digests); }

 private:
  // A step between enqueue() and finish().
  struct Unfinished {
    std::span<const std::byte> plan;
    Communicator* communicator = nullptr;
    RankOutcome outcome;    // of what is known so far
    uint64_t n_stored = 0;  // HostBlockStore::n_stored() when the step's stores were queued
    int n_layers_done = 0;
  };

  RankOutcome launch(std::span<const std::byte> plan, std::span<const BlockId> nan_blocks,
                     Communicator& communicator);
  RankOutcome launch_agreed(const StepPlanView& plan, std::span<const BlockId> nan_blocks,
                            Communicator& communicator);
  StepSlot& slot_of(uint64_t step) { return *slots_[step % slots_.size()]; }
  Unfinished& oldest() { return unfinished_[n_finished_ % unfinished_.size()]; }
  // Advances the progress counter for each layer that the device has done since the last call.
  void note_progress(Unfinished& step);
  // Waits for the device while the communicator says that what is queued can still be done. A wait
  // inside the driver would notice a rank that is gone only with the watchdog.
  CommResult wait_until(const std::function<bool()>& is_true, Communicator& communicator);
  bool has_room_for_layer();
  LogitsHook logits_hook();
  void read_samples(const StepPlanHeader& header, const ForwardOutputs& outputs,
                    StepResult& result) const;
  void read_kv_finite(const StepPlanView& plan, const ForwardOutputs& outputs,
                      std::span<uint8_t> kv_finite) const;
  void store_in_host(const StepPlanView& plan);
  // Adds the host blocks that fail verification to `bad`.
  CommResult load_from_host(const StepPlanView& plan, Communicator& communicator,
                            std::vector<HostBlockId>& bad);
  RankOutcome failed(StepStatus status, const std::string& where, const std::string& cause) const;
  RankOutcome bad_host_blocks(std::vector<HostBlockId> bad) const;
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
  const std::unique_ptr<Event> passed_;    // for waits
  Workspace workspace_;
  Transformer transformer_;
  const LogitsHook on_logits_;  // empty unless the configuration has one

  std::array<std::unique_ptr<StepSlot>, kMaxStepsInFlight> slots_;  // by number of the step
  std::array<Unfinished, kMaxStepsInFlight> unfinished_;            // likewise
  uint64_t n_queued_ = 0;                                           // steps
  uint64_t n_finished_ = 0;
  uint64_t n_stored_ = 0;  // HostBlockStore::n_stored() of the last finished step
};

}  // namespace lockstep
