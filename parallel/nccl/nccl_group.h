// Groups of ranks over NCCL, one rank per GPU. The communicator itself is part of the CUDA module
// (kernels/cuda_module.h), which looks for libnccl.so.2 by name when a caller asks for it. This
// file knows neither CUDA's headers nor NCCL's. The ranks of a group may be threads of one process
// or processes. A group forms in three steps: rank 0 makes an id, every rank receives its bytes,
// every rank joins.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/log.h"
#include "common/result.h"
#include "kernels/cuda_module.h"
#include "parallel/communicator.h"

namespace lockstep {

// NCCL's id of a group that is about to form. Plain bytes, valid for one group only.
struct NcclGroupId {
  std::array<char, 128> bytes{};
};

struct NcclDeadlines {
  std::chrono::milliseconds join{60'000};  // until all ranks have joined and run every collective
  // Of agree() and barrier(), and of NCCL for queueing a call. Also how long check() waits for
  // progress.
  std::chrono::milliseconds call{10'000};
  // For NCCL to end a communicator. A call that fails takes up to this long in addition.
  std::chrono::milliseconds close{2'000};
};

struct NcclRank {
  NcclGroupId group_id{};
  int rank = 0, size = 1;
  int device_idx = 0;
  NcclDeadlines deadlines{};
  // A rank that fails or aborts sets this flag; ranks that wait read it. The ranks of one process
  // share it. Ranks of other processes see an error of NCCL or their own deadline instead.
  std::shared_ptr<std::atomic<bool>> aborted{};
  // Moves while any rank works; called on the rank's thread. Empty = it never moves.
  std::function<uint64_t()> progress{};
  // Receives NCCL's message when NCCL fails. This is the log function of the program, because the
  // module has a log sink of its own.
  void (*log)(LogLevel, std::string_view) = lockstep::log;
};

// libnccl.so.2, opened by the CUDA module. Its communicators may outlive it. Any thread.
class NcclLibrary {
 public:
  virtual ~NcclLibrary() = default;
  virtual std::string version() const = 0;  // "2.28.9"
  // Must be called on the host of rank 0: the other ranks connect to the host that makes the id.
  virtual Result<NcclGroupId> make_group_id() const = 0;
  // Returns when all ranks have joined, or fails at the deadline. Each rank calls it on a thread of
  // its own. kCancelled if another rank of this process failed.
  virtual Result<std::unique_ptr<Communicator>> join(const NcclRank& rank) const = 0;
};

// An empty path stands for libnccl.so.2, for which the loader searches.
Result<std::unique_ptr<NcclLibrary>> open_nccl(const CudaModule& module, const std::string& path);

// Makes a group whose ranks are all in this process, each with its own device. Returns when the
// group has formed. progress: see NcclRank.
Result<std::vector<std::unique_ptr<Communicator>>> make_nccl_group(
    const NcclLibrary& library, std::span<const int> device_idxs, const NcclDeadlines& deadlines,
    std::function<uint64_t()> progress = {});

// --- Export of the module, if it was built with nccl.h. ---
// Sets `library`, or sets `error` to the reason why it cannot.
using NcclOpenLibrary = void(const std::string& path, std::unique_ptr<NcclLibrary>& library,
                             Error& error);

}  // namespace lockstep
