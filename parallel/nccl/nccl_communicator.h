// NcclCommunicator: one rank on one GPU, over NCCL. It moves bytes and adds no floats:
// ncclAllReduce chooses algorithm and order by size and topology, so its sums are not in the fixed
// tree of docs/numerics.md. Instead every rank gathers all partials, and the op that reads them
// finishes the tree.
//
// A collective of Views is queued on the rank's stream behind its ops, and the host goes on as soon
// as NCCL has taken it; check() looks whether it can still be done. agree(), all_true() and
// barrier() have a stream of their own and are polled until they are done, their deadline passes or
// the group is aborted. NCCL starts a thread for each call of a non-blocking communicator
// (groupLaunchNonBlocking in its group.cc); a step captured in a graph has no such cost.
//
// NCCL allows one thread inside a communicator. So abort() only sets the flag that the ranks of
// this process share; the owner of each communicator polls the flag and ends its own part. Ranks of
// other processes see NCCL's error or their deadline. An error of CUDA itself ends the process.
//
// Nothing is allocated after join(), except to end a communicator that has failed. NCCL's own
// memory is in no ledger, because NCCL does not report it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/threads/stall_watch.h"
#include "parallel/nccl/nccl_handle.h"
#include "parallel/nccl/nccl_values.h"

namespace lockstep {

class NcclCommunicator final : public Communicator {
 public:
  // Joins the group and runs every collective once, since the first use makes connections and loads
  // kernels. kCancelled if another rank of this process failed.
  static Result<std::unique_ptr<Communicator>> join(const NcclApi& api, const NcclRank& rank);

  NcclCommunicator(const NcclApi& api, const NcclRank& rank);
  // Returns within twice NcclDeadlines::close, in any state of the group.
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  // `stream` must be on this rank's device.
  CommResult all_gather(const View& mine, const View& all, Stream& stream) override;
  CommResult broadcast(const View& data, int root, Stream& stream) override;
  CommResult agree(uint64_t value) override;
  CommResult all_true(bool mine) override;
  CommResult barrier() override;
  CommResult check() override;
  void abort() override { *aborted_ = true; }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr int kStallTicks = 10;  // a deadline_ of them

  CommResult form(const NcclRank& rank);
  TimePoint call_deadline() const { return std::chrono::steady_clock::now() + deadline_; }

  // The parts of a call, in this order. A result other than kOk ends the call and aborts the group.
  CommResult enter();
  CommResult wait_queued(ncclResult_t issued, TimePoint until);
  CommResult wait_done(cudaStream_t stream, TimePoint until);

  CommResult exchange_values(uint64_t mine, TimePoint until);
  template <class Done>
  CommResult wait_for(const Done& done, TimePoint until);
  CommResult fail(CommResult why);
  CommResult fail_of_nccl(ncclResult_t error);

  // Whether no rank has made progress for deadline_, by ticks that check() counts.
  bool is_stalled();

  // constant after construction
  const NcclApi api_;
  const int rank_;
  const int size_;
  const int device_idx_;
  const std::chrono::milliseconds deadline_;
  const std::shared_ptr<std::atomic<bool>> aborted_;  // see NcclRank
  const std::function<uint64_t()> progress_;
  void (*const log_)(LogLevel, std::string_view);

  const std::shared_ptr<NcclValues> values_;
  NcclHandle handle_;
  std::optional<StallWatch> stall_;  // since the last call that was queued
  std::chrono::steady_clock::time_point last_tick_{};
  bool disagreed_ = false;  // after a mismatch, every later call fails
  std::string failure_;     // NCCL's message, if NCCL has failed
};

}  // namespace lockstep
