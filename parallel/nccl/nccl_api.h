// NcclApi: the functions of libnccl.so.2 that the NCCL communicator calls. They are found by name
// at run time, so no binary links NCCL. Compiled against the types of nccl.h. Any thread.
#pragma once

#include <nccl.h>

#include <span>
#include <string>

#include "common/result.h"

namespace lockstep {

struct NcclApi {
  // The first version whose ncclCommAbort does not hang when the network is silent (its release
  // notes: "fix hangs due to the progress thread spinning indefinitely").
  static constexpr int kMinVersion = NCCL_VERSION(2, 26, 2);

  // Opens the first of `names` (paths, or names for the loader to search) that can be opened; the
  // library stays loaded. The error names the result of each attempt, the missing functions, or the
  // version that is too old.
  static Result<NcclApi> load(std::span<const std::string> names);

  int version = 0;  // 22809 for 2.28.9
  decltype(&ncclGetVersion) get_version = nullptr;
  decltype(&ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&ncclCommInitRankConfig) comm_init_rank_config = nullptr;
  decltype(&ncclCommGetAsyncError) comm_get_async_error = nullptr;
  decltype(&ncclCommFinalize) comm_finalize = nullptr;
  decltype(&ncclCommDestroy) comm_destroy = nullptr;
  decltype(&ncclCommAbort) comm_abort = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;
  decltype(&ncclBroadcast) broadcast = nullptr;
  decltype(&ncclGetErrorString) get_error_string = nullptr;
  decltype(&ncclGetLastError) get_last_error = nullptr;

  // "unhandled cuda error (no CUDA-capable device is detected)"
  std::string describe(ncclResult_t result) const;
};

// "2.28.9"
std::string nccl_version_text(int version);

}  // namespace lockstep
