// Groups of ranks over NCCL, one rank per GPU. The communicator itself is part of the CUDA module
// (kernels/cuda_module.h), which finds libnccl.so.2 by name when it is asked to; this side knows
// neither CUDA's headers nor NCCL's. A group forms in three steps, whose ranks may be threads of
// one process or processes: rank 0 makes an id, every rank is handed its bytes, every rank joins.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
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

// NCCL's name for a group that is about to form. Plain bytes, good for one group only.
struct NcclGroupId {
  std::array<char, 128> bytes{};
};

struct NcclDeadlines {
  std::chrono::milliseconds join{60'000};  // until all ranks have joined and met once
  std::chrono::milliseconds call{10'000};  // each call's, as in communicator.h
  // What NCCL may take to end a communicator; a call that fails takes up to this on top.
  std::chrono::milliseconds close{2'000};
};

struct NcclRank {
  NcclGroupId group_id{};
  int rank = 0, size = 1;
  int device_idx = 0;
  NcclDeadlines deadlines{};
  // Raised by whoever fails or aborts, seen by those who wait. The ranks of one process share it;
  // ranks elsewhere learn it from NCCL or by their own deadline.
  std::shared_ptr<std::atomic<bool>> aborted{};
  // Told what NCCL says when it fails. The program's own: the module would have another sink.
  void (*log)(LogLevel, std::string_view) = lockstep::log;
};

// libnccl.so.2, opened by the CUDA module. Its communicators may outlive it. Any thread.
class NcclLibrary {
 public:
  virtual ~NcclLibrary() = default;
  virtual std::string version() const = 0;  // "2.28.9"
  // Rank 0's host is where the others will look for the group, so that is where to make it.
  virtual Result<NcclGroupId> make_group_id() const = 0;
  // Returns when all ranks have joined, or fails at the deadline. One thread per rank. kCancelled
  // if another rank of this process failed.
  virtual Result<std::unique_ptr<Communicator>> join(const NcclRank& rank) const = 0;
};

// `path` is tried first if it is not empty, then the loader's own search for libnccl.so.2.
Result<std::unique_ptr<NcclLibrary>> open_nccl(const CudaModule& module, const std::string& path);

// All ranks in this process, each with its own device; returns when the group has formed.
Result<std::vector<std::unique_ptr<Communicator>>> make_nccl_group(const NcclLibrary& library,
                                                                   std::span<const int> device_idxs,
                                                                   const NcclDeadlines& deadlines);

// --- What the module exports if it was built with nccl.h. ---
// Sets `library`, or says why not in `error`.
using NcclOpenLibrary = void(const std::string& path, std::unique_ptr<NcclLibrary>& library,
                             Error& error);

}  // namespace lockstep
