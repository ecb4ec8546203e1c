// NcclHandle: the ncclComm_t of one rank. Two threads never use it at once, since NCCL allows only
// one inside a communicator. No wait is without end, unless the system has no thread left: a call
// that does not return in time is leaked with its thread.
#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "parallel/nccl/nccl_api.h"
#include "parallel/nccl/nccl_group.h"

namespace lockstep {

class NcclHandle {
 public:
  // Holds `memory`, which collectives may read or write, until NCCL no longer uses it.
  NcclHandle(const NcclApi& api, const NcclRank& rank, std::shared_ptr<void> memory)
      : api_(api),
        device_idx_(rank.device_idx),
        close_deadline_(rank.deadlines.close),
        memory_(std::move(memory)) {}
  ~NcclHandle() { abort(); }
  NcclHandle(const NcclHandle&) = delete;
  NcclHandle& operator=(const NcclHandle&) = delete;

  // Begins to join the group, on the current device of this thread. state() gives the result.
  ncclResult_t begin_join(const NcclRank& rank);
  // ncclInProgress while NCCL works on the last call.
  ncclResult_t state() const;
  ncclComm_t get() const { return comm_; }

  // Ends a communicator that is healthy and idle; aborts it if it is not.
  void close();
  // Ends the communicator and its pending calls, on the device as well.
  void abort();

 private:
  // Makes NCCL's last call on a thread of its own. If the call does not return in time, the thread
  // and the memory are leaked (aborts that hang until the process ends are known). If the system
  // refuses the thread, the caller makes the call: without it the device would keep waiting, and a
  // call that hangs is found by the watchdog.
  void end(decltype(&ncclCommAbort) end);

  // constant after construction
  const NcclApi& api_;
  const int device_idx_;
  const std::chrono::milliseconds close_deadline_;
  const std::shared_ptr<void> memory_;

  ncclComm_t comm_ = nullptr;
};

}  // namespace lockstep
