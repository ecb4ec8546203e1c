#include "parallel/nccl/nccl_group.h"

#include <optional>
#include <thread>
#include <utility>

#include "common/check.h"
#include "common/threads/threads.h"

namespace lockstep {

Result<std::unique_ptr<NcclLibrary>> open_nccl(const CudaModule& module, const std::string& path) {
  auto* open = reinterpret_cast<NcclOpenLibrary*>(module.symbol("lockstep_open_nccl"));
  if (open == nullptr) {
    return Error{ErrorCode::kNotFound, "the CUDA module was built without NCCL (no nccl.h)", ""};
  }
  std::unique_ptr<NcclLibrary> library;
  Error error;
  open(path, library, error);
  if (library == nullptr) return error;
  return library;
}

Result<std::vector<std::unique_ptr<Communicator>>> make_nccl_group(
    const NcclLibrary& library, std::span<const int> device_idxs, const NcclDeadlines& deadlines,
    std::function<uint64_t()> progress) {
  CHECK(!device_idxs.empty());
  TRY(const NcclGroupId id, library.make_group_id());
  NcclRank member{.group_id = id,
                  .size = static_cast<int>(device_idxs.size()),
                  .deadlines = deadlines,
                  .aborted = std::make_shared<std::atomic<bool>>(false),
                  .progress = std::move(progress)};
  std::vector<std::optional<Result<std::unique_ptr<Communicator>>>> joined(device_idxs.size());
  std::vector<std::thread> threads;
  const auto join_all = [&threads] {
    for (std::thread& thread : threads) thread.join();
  };
  try {
    for (size_t r = 0; r < joined.size(); ++r) {
      member.rank = static_cast<int>(r);
      member.device_idx = device_idxs[r];
      threads.push_back(start_thread(
          "NCCL", [&library, &slot = joined[r], member] { slot = library.join(member); }));
    }
  } catch (...) {
    *member.aborted = true;  // ends the wait of the ranks that have not failed
    join_all();
    throw;
  }
  join_all();

  std::vector<std::unique_ptr<Communicator>> ranks;
  const Error* failure = nullptr;
  for (auto& result : joined) {
    if (result->has_value()) {
      ranks.push_back(std::move(*result).value());
    } else if (failure == nullptr || failure->code == ErrorCode::kCancelled) {
      failure = &result->error();  // the cause, not the kCancelled that followed from it
    }
  }
  if (failure != nullptr) return *failure;
  return ranks;
}

}  // namespace lockstep
