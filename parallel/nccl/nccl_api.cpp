#include "parallel/nccl/nccl_api.h"

#include <dlfcn.h>

#include "common/log.h"

namespace lockstep {
namespace {

Result<void*> open_first(std::span<const std::string> names) {
  std::string attempts;
  for (const std::string& name : names) {
    if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    attempts += std::string(attempts.empty() ? "" : "; ") + dlerror();
  }
  return Error{ErrorCode::kNotFound, "NCCL: " + attempts, ""};
}

// Fills one function pointer, or adds its name to `missing`.
template <class Function>
void bind(void* handle, const char* name, Function& function, std::string& missing) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  if (function == nullptr) missing += std::string(" ") + name;
}

}  // namespace

std::string nccl_version_text(int version) {
  return str(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

Result<NcclApi> NcclApi::load(std::span<const std::string> names) {
  TRY(void* handle, open_first(names));
  NcclApi api;
  std::string missing;
  bind(handle, "ncclGetVersion", api.get_version, missing);
  bind(handle, "ncclGetUniqueId", api.get_unique_id, missing);
  bind(handle, "ncclCommInitRankConfig", api.comm_init_rank_config, missing);
  bind(handle, "ncclCommGetAsyncError", api.comm_get_async_error, missing);
  bind(handle, "ncclCommFinalize", api.comm_finalize, missing);
  bind(handle, "ncclCommDestroy", api.comm_destroy, missing);
  bind(handle, "ncclCommAbort", api.comm_abort, missing);
  bind(handle, "ncclAllGather", api.all_gather, missing);
  bind(handle, "ncclBroadcast", api.broadcast, missing);
  bind(handle, "ncclGetErrorString", api.get_error_string, missing);
  bind(handle, "ncclGetLastError", api.get_last_error, missing);
  if (api.get_version != nullptr && api.get_version(&api.version) == ncclSuccess &&
      api.version < kMinVersion) {
    return Error{ErrorCode::kConfigMismatch,
                 "NCCL " + nccl_version_text(api.version) + " is too old, " +
                     nccl_version_text(kMinVersion) + " is the first that can be used",
                 ""};
  }
  if (!missing.empty()) {
    return Error{ErrorCode::kConfigMismatch, "NCCL: the library lacks" + missing, ""};
  }
  return api;
}

std::string NcclApi::describe(ncclResult_t result) const {
  const char* detail = get_last_error(nullptr);
  const std::string text = get_error_string(result);
  return detail == nullptr || *detail == '\0' ? text : text + " (" + detail + ")";
}

}  // namespace lockstep
