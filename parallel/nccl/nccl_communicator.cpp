#include "parallel/nccl/nccl_communicator.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "common/log.h"
#include "kernels/cuda/device/cuda_check.h"
#include "kernels/cuda/device/stream.h"
#include "parallel/dense_view.h"

namespace lockstep {
namespace {

using std::chrono::steady_clock;

// For this long a call is polled without pauses, since most calls take some microseconds.
constexpr std::chrono::milliseconds kEager{1};
constexpr std::chrono::microseconds kPause{50};

void pause(steady_clock::time_point polling_since) {
  if (steady_clock::now() - polling_since < kEager) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(kPause);
  }
}

cudaStream_t queue_of(Stream& stream) {
  auto* queue = dynamic_cast<cuda::CudaStream*>(&stream.innermost());
  CHECK(queue != nullptr);
  return queue->on_device();
}

bool is_done(cudaStream_t stream) {
  const cudaError_t state = cudaStreamQuery(stream);
  if (state == cudaErrorNotReady) return false;
  CUDA_CHECK(state);
  return true;
}

Error join_error(const NcclRank& rank, ErrorCode code, const std::string& what) {
  return {code,
          str("NCCL: rank ", rank.rank, " of ", rank.size, " on CUDA device ", rank.device_idx,
              ": ", what),
          ""};
}

}  // namespace

Result<std::unique_ptr<Communicator>> NcclCommunicator::join(const NcclApi& api,
                                                             const NcclRank& rank) {
  auto self = std::make_unique<NcclCommunicator>(api, rank);
  cudaError_t error = cudaSetDevice(rank.device_idx);
  if (error == cudaSuccess) error = self->values_->allocate(rank.size);
  if (error != cudaSuccess) {
    self->abort();
    return join_error(rank, ErrorCode::kInternal, cudaGetErrorString(error));
  }
  const CommResult formed = self->form(rank);
  if (!self->failure_.empty()) return join_error(rank, ErrorCode::kInternal, self->failure_);
  if (formed == CommResult::kTimeout) {
    return join_error(rank, ErrorCode::kDeadlineExceeded,
                      str("not all ranks are there after ", rank.deadlines.join.count(), " ms"));
  }
  if (formed != CommResult::kOk) {
    return join_error(rank, ErrorCode::kCancelled, "another rank gave up");
  }
  return std::unique_ptr<Communicator>(std::move(self));
}

NcclCommunicator::NcclCommunicator(const NcclApi& api, const NcclRank& rank)
    : api_(api),
      rank_(rank.rank),
      size_(rank.size),
      device_idx_(rank.device_idx),
      deadline_(rank.deadlines.call),
      aborted_(rank.aborted ? rank.aborted : std::make_shared<std::atomic<bool>>(false)),
      progress_(rank.progress),
      log_(rank.log),
      values_(std::make_shared<NcclValues>()),
      handle_(api_, rank, values_) {
  CHECK(rank.rank >= 0 && rank.rank < rank.size);
}

NcclCommunicator::~NcclCommunicator() {
  cudaSetDevice(device_idx_);
  if (*aborted_) {
    handle_.abort();
  } else {
    handle_.close();
  }
}

CommResult NcclCommunicator::form(const NcclRank& rank) {
  const TimePoint until = steady_clock::now() + rank.deadlines.join;
  CommResult result = wait_queued(handle_.begin_join(rank), until);
  if (result == CommResult::kOk) result = exchange_values(0, until);
  if (result != CommResult::kOk) return result;
  const ncclResult_t issued = api_.broadcast(values_->device(), values_->device(), 1, ncclUint64, 0,
                                             handle_.get(), values_->stream());
  result = wait_queued(issued, until);
  return result == CommResult::kOk ? wait_done(values_->stream(), until) : result;
}

CommResult NcclCommunicator::all_gather(const View& mine, const View& all, Stream& stream) {
  const int64_t n = dense_values(mine);
  CHECK_EQ(dense_values(all), n * size_);
  const cudaStream_t queue = queue_of(stream);
  const TimePoint until = call_deadline();
  if (const CommResult result = enter(); result != CommResult::kOk) return result;
  const ncclResult_t issued =
      api_.all_gather(mine.data, all.data, static_cast<size_t>(n), ncclInt32, handle_.get(), queue);
  stall_.emplace(kStallTicks);
  return wait_queued(issued, until);
}

CommResult NcclCommunicator::broadcast(const View& data, int root, Stream& stream) {
  CHECK(root >= 0 && root < size_);
  const int64_t n = dense_values(data);
  const cudaStream_t queue = queue_of(stream);
  const TimePoint until = call_deadline();
  if (const CommResult result = enter(); result != CommResult::kOk) return result;
  const ncclResult_t issued = api_.broadcast(data.data, data.data, static_cast<size_t>(n),
                                             ncclInt32, root, handle_.get(), queue);
  stall_.emplace(kStallTicks);
  return wait_queued(issued, until);
}

CommResult NcclCommunicator::agree(uint64_t value) {
  if (const CommResult met = exchange_values(value, call_deadline()); met != CommResult::kOk) {
    return met;
  }
  const uint64_t* values = values_->host();
  if (std::all_of(values, values + size_, [&](uint64_t v) { return v == value; })) {
    return CommResult::kOk;
  }
  // Every rank has received these values or is about to, so every rank finds the mismatch by
  // itself. An abort here would turn the mismatch of a rank that is still receiving into an abort.
  disagreed_ = true;
  return CommResult::kMismatch;
}

CommResult NcclCommunicator::all_true(bool mine) {
  if (const CommResult met = exchange_values(mine ? 1 : 0, call_deadline());
      met != CommResult::kOk) {
    return met;
  }
  const uint64_t* values = values_->host();
  return std::all_of(values, values + size_, [](uint64_t v) { return v == 1; })
             ? CommResult::kOk
             : CommResult::kMismatch;
}

CommResult NcclCommunicator::barrier() { return exchange_values(0, call_deadline()); }

// On return, values_->host() has the value of every rank.
CommResult NcclCommunicator::exchange_values(uint64_t mine, TimePoint until) {
  if (const CommResult result = enter(); result != CommResult::kOk) return result;
  uint64_t* my_value = values_->device() + rank_;
  values_->host()[rank_] = mine;
  CUDA_CHECK(cudaMemcpyAsync(my_value, values_->host() + rank_, sizeof mine, cudaMemcpyHostToDevice,
                             values_->stream()));
  const ncclResult_t issued =
      api_.all_gather(my_value, values_->device(), 1, ncclUint64, handle_.get(), values_->stream());
  if (const CommResult result = wait_queued(issued, until); result != CommResult::kOk) {
    return result;
  }
  CUDA_CHECK(cudaMemcpyAsync(values_->host(), values_->device(),
                             sizeof mine * static_cast<size_t>(size_), cudaMemcpyDeviceToHost,
                             values_->stream()));
  return wait_done(values_->stream(), until);
}

CommResult NcclCommunicator::check() {
  if (const CommResult entered = enter(); entered != CommResult::kOk) return entered;
  const ncclResult_t state = handle_.state();
  if (state != ncclSuccess && state != ncclInProgress) return fail_of_nccl(state);
  return is_stalled() ? fail(CommResult::kTimeout) : CommResult::kOk;
}

bool NcclCommunicator::is_stalled() {
  const TimePoint now = steady_clock::now();
  if (now - last_tick_ < deadline_ / kStallTicks) return false;
  last_tick_ = now;
  return stall_ && stall_->tick(true, progress_ ? progress_() : 0);
}

CommResult NcclCommunicator::enter() {
  if (disagreed_) return CommResult::kAborted;
  if (*aborted_) return fail(CommResult::kAborted);
  CUDA_CHECK(cudaSetDevice(device_idx_));
  return CommResult::kOk;
}

// Waits until NCCL has queued the call: a non-blocking communicator may return before that.
CommResult NcclCommunicator::wait_queued(ncclResult_t issued, TimePoint until) {
  if (issued == ncclSuccess) return CommResult::kOk;
  if (issued != ncclInProgress) return fail_of_nccl(issued);
  return wait_for([this] { return handle_.state() == ncclSuccess; }, until);
}

CommResult NcclCommunicator::wait_done(cudaStream_t stream, TimePoint until) {
  return wait_for([stream] { return is_done(stream); }, until);
}

template <class Done>
CommResult NcclCommunicator::wait_for(const Done& done, TimePoint until) {
  const TimePoint begin = steady_clock::now();
  while (!done()) {
    if (*aborted_) return fail(CommResult::kAborted);
    const ncclResult_t state = handle_.state();
    if (state != ncclSuccess && state != ncclInProgress) return fail_of_nccl(state);
    if (steady_clock::now() >= until) return fail(CommResult::kTimeout);
    pause(begin);
  }
  return CommResult::kOk;
}

CommResult NcclCommunicator::fail(CommResult why) {
  *aborted_ = true;
  handle_.abort();
  return why;
}

CommResult NcclCommunicator::fail_of_nccl(ncclResult_t error) {
  failure_ = api_.describe(error);
  log_(LogLevel::kError, str("NCCL failed rank=", rank_, " of=", size_, " error=", failure_));
  return fail(CommResult::kAborted);
}

}  // namespace lockstep
