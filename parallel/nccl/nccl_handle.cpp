#include "parallel/nccl/nccl_handle.h"

#include <cuda_runtime.h>

#include <cstring>
#include <exception>
#include <future>
#include <thread>
#include <utility>

namespace lockstep {
namespace {

constexpr std::chrono::microseconds kPoll{100};

ncclUniqueId unique_id_of(const NcclGroupId& group_id) {
  ncclUniqueId id;
  static_assert(sizeof id.internal == sizeof group_id.bytes);
  std::memcpy(id.internal, group_id.bytes.data(), sizeof id.internal);
  return id;
}

}  // namespace

ncclResult_t NcclHandle::begin_join(const NcclRank& rank) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  return api_.comm_init_rank_config(&comm_, rank.size, unique_id_of(rank.group_id), rank.rank,
                                    &config);
}

ncclResult_t NcclHandle::state() const {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = api_.comm_get_async_error(comm_, &state);
  return asked == ncclSuccess ? state : asked;
}

void NcclHandle::close() {
  if (comm_ == nullptr) return;
  const auto until = std::chrono::steady_clock::now() + close_deadline_;
  ncclResult_t state = api_.comm_finalize(comm_);
  while (state == ncclInProgress && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(kPoll);
    state = this->state();
  }
  end(state == ncclSuccess ? api_.comm_destroy : api_.comm_abort);
}

void NcclHandle::abort() {
  if (comm_ != nullptr) end(api_.comm_abort);
}

void NcclHandle::end(decltype(&ncclCommAbort) end) {
  auto last_call = [end, device_idx = device_idx_, memory = memory_,
                    comm = std::exchange(comm_, nullptr)]() mutable {
    cudaSetDevice(device_idx);
    end(comm);
    memory.reset();
  };
  std::thread ender;
  std::future<void> has_returned;
  try {
    std::packaged_task<void()> task(last_call);
    has_returned = task.get_future();
    ender = std::thread(std::move(task));
  } catch (const std::exception&) {  // the system has no thread or no memory to give
    last_call();
    return;
  }
  // A thread that hangs with its device is leaked; every other one is joined.
  if (has_returned.wait_for(close_deadline_) == std::future_status::ready) {
    ender.join();
  } else {
    ender.detach();
  }
}

}  // namespace lockstep
