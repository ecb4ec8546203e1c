// NcclHandle: one rank's ncclComm_t, never used by two threads at once (NCCL allows only one inside
// a communicator) and never waited for without end: what does not come back in time is left behind.
#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "parallel/nccl/nccl_api.h"
#include "parallel/nccl/nccl_group.h"

namespace lockstep {

class NcclHandle {
 public:
  // `memory`, that NCCL may be told to read or write, is kept until NCCL is done with it.
  NcclHandle(const NcclApi& api, const NcclRank& rank, std::shared_ptr<void> memory)
      : api_(api),
        device_idx_(rank.device_idx),
        close_deadline_(rank.deadlines.close),
        memory_(std::move(memory)) {}
  ~NcclHandle() { abort(); }
  NcclHandle(const NcclHandle&) = delete;
  NcclHandle& operator=(const NcclHandle&) = delete;

  // Begins to join the group; state() says when it has, or why it cannot. On this thread's device.
  ncclResult_t begin_join(const NcclRank& rank);
  // ncclInProgress while NCCL works on what it was last given.
  ncclResult_t state() const;
  ncclComm_t get() const { return comm_; }

  // For a healthy communicator with nothing under way. Aborted if it turns out not to be.
  void close();
  // Ends whatever is under way, on the device as well.
  void abort();

 private:
  // NCCL's last call, on a thread of its own: if it does not return in time (such aborts are on
  // record, and only the end of the process cures them), that thread and the memory stay with it.
  void end(decltype(&ncclCommAbort) end);

  // constant after construction
  const NcclApi& api_;
  const int device_idx_;
  const std::chrono::milliseconds close_deadline_;
  const std::shared_ptr<void> memory_;

  ncclComm_t comm_ = nullptr;
};

}  // namespace lockstep
