#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common/units.h"
#include "kernels/cuda/device/cuda_check.h"
#include "kernels/cuda/device/stream.h"
#include "kernels/kv_layout.h"

namespace lockstep::cuda {
namespace {

constexpr int64_t kScratchBytes = 32_MiB;

// The longest wait of the destructor. Queued work takes milliseconds; only a collective whose abort
// hangs takes longer.
constexpr std::chrono::milliseconds kLongestEnd{1'000};
constexpr std::chrono::microseconds kPoll{100};

// A stream that does not become idle, with the memory that it may still write. Destroying the
// stream or freeing the memory would wait for the device, so both stay until the process ends.
struct LeftBehind {
  cudaStream_t stream = nullptr;
  DeviceBuffer scratch;
};

void leave_behind(LeftBehind left) {
  static std::mutex mutex;
  static auto& all = *std::make_unique<std::vector<LeftBehind>>().release();  // never destroyed
  std::lock_guard lock(mutex);
  all.push_back(std::move(left));
}

class CudaEvent final : public Event {
 public:
  explicit CudaEvent(const CudaStream& stream) : stream_(stream) {
    stream_.on_device();
    CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  }
  ~CudaEvent() override { CUDA_CHECK(cudaEventDestroy(event_)); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  void record() override { CUDA_CHECK(cudaEventRecord(event_, stream_.on_device())); }
  bool is_done() const override {
    const cudaError_t state = cudaEventQuery(event_);
    if (state == cudaErrorNotReady) return false;
    CUDA_CHECK(state);
    return true;
  }
  void wait() const override { CUDA_CHECK(cudaEventSynchronize(event_)); }

 private:
  const CudaStream& stream_;
  cudaEvent_t event_ = nullptr;
};

size_t as_size(int64_t n) { return static_cast<size_t>(n); }

// Whether rows can be copied or filled by one call: CUDA's limit of a pitch is 2^31 - 1 bytes, and
// the layers of a large KV pool lie further apart.
bool is_2d(int64_t n_rows, int64_t stride) {
  return n_rows > 1 && stride <= std::numeric_limits<int32_t>::max();
}

void copy_rows(std::byte* to, int64_t to_stride, const std::byte* from, int64_t from_stride,
               int64_t row_bytes, int64_t n_rows, cudaMemcpyKind kind, cudaStream_t stream) {
  if (is_2d(n_rows, std::max(to_stride, from_stride))) {
    CUDA_CHECK(cudaMemcpy2DAsync(to, as_size(to_stride), from, as_size(from_stride),
                                 as_size(row_bytes), as_size(n_rows), kind, stream));
    return;
  }
  for (int64_t row = 0; row < n_rows; ++row) {
    CUDA_CHECK(cudaMemcpyAsync(to + row * to_stride, from + row * from_stride, as_size(row_bytes),
                               kind, stream));
  }
}

}  // namespace

int64_t CudaStream::scratch_bytes(const StreamLimits& limits) {
  if (limits.head_dim == 0 && limits.vocab_size == 0) return 0;
  return std::max(kScratchBytes, sample_scratch_floats(limits.vocab_size) * int64_t{sizeof(float)});
}

CudaStream::CudaStream(Device& device, int device_idx, const StreamLimits& limits,
                       MemoryLedger& ledger)
    : device_idx_(device_idx), name_("cuda:" + std::to_string(device_idx)) {
  CHECK(limits.head_dim <= kMaxHeadDim);
  scratch_ = DeviceBuffer(device, ledger, MemoryTag::kActivations, scratch_bytes(limits));
  CUDA_CHECK(cudaSetDevice(device_idx_));
  CUDA_CHECK(cudaDeviceGetAttribute(&n_sms_, cudaDevAttrMultiProcessorCount, device_idx_));
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
}

CudaStream::~CudaStream() {
  if (idle_before(std::chrono::steady_clock::now() + kLongestEnd)) {
    CUDA_CHECK(cudaStreamDestroy(stream_));
  } else {
    leave_behind({stream_, std::move(scratch_)});
  }
}

bool CudaStream::idle_before(std::chrono::steady_clock::time_point until) const {
  for (;;) {
    const cudaError_t state = cudaStreamQuery(on_device());
    if (state == cudaSuccess) return true;
    if (state != cudaErrorNotReady) CUDA_CHECK(state);
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(kPoll);
  }
}

void CudaStream::wait() { CUDA_CHECK(cudaStreamSynchronize(on_device())); }

cudaStream_t CudaStream::on_device() const {
  CUDA_CHECK(cudaSetDevice(device_idx_));
  return stream_;
}

// The ops run one after another, so they share it.
StreamScratch CudaStream::scratch() const {
  return {scratch_.as<float>(), scratch_.bytes() / int64_t{sizeof(float)}};
}

void CudaStream::copy_to_device(const CopyArgs& copy) {
  copy_rows(copy.device, copy.device_stride, copy.host, copy.host_stride, copy.row_bytes,
            copy.n_rows, cudaMemcpyHostToDevice, on_device());
}

void CudaStream::copy_to_host(const CopyArgs& copy) {
  copy_rows(copy.host, copy.host_stride, copy.device, copy.device_stride, copy.row_bytes,
            copy.n_rows, cudaMemcpyDeviceToHost, on_device());
}

void CudaStream::fill(const FillArgs& args) {
  const cudaStream_t stream = on_device();
  if (is_2d(args.n_rows, args.stride)) {
    CUDA_CHECK(cudaMemset2DAsync(args.data, as_size(args.stride), args.value,
                                 as_size(args.row_bytes), as_size(args.n_rows), stream));
    return;
  }
  for (int64_t row = 0; row < args.n_rows; ++row) {
    CUDA_CHECK(cudaMemsetAsync(args.data + row * args.stride, args.value, as_size(args.row_bytes),
                               stream));
  }
}

std::unique_ptr<Event> CudaStream::make_event() { return std::make_unique<CudaEvent>(*this); }

void CudaStream::launch(const RmsNormArgs& args) { rms_norm(args, on_device()); }
void CudaStream::launch(const AddRmsNormArgs& args) { add_rms_norm(args, on_device()); }
void CudaStream::launch(const RopeStoreArgs& args) { rope_store(args, on_device()); }

void CudaStream::launch(const LinearArgs& args) { linear(args, scratch(), n_sms_, on_device()); }

void CudaStream::launch(const AttentionArgs& args) { attention(args, scratch(), on_device()); }

void CudaStream::launch(const EmbedArgs& args) { embed(args, on_device()); }
void CudaStream::launch(const HeadNormArgs& args) { head_norm(args, on_device()); }
void CudaStream::launch(const QuantizeArgs& args) { quantize(args, on_device()); }
void CudaStream::launch(const SiluMulArgs& args) { silu_mul(args, on_device()); }
void CudaStream::launch(const GatherRowsArgs& args) { gather_rows(args, on_device()); }
void CudaStream::launch(const ConcatColumnsArgs& args) { concat_columns(args, on_device()); }
void CudaStream::launch(const ResolveTokensArgs& args) { resolve_tokens(args, on_device()); }
void CudaStream::launch(const CopyBlocksArgs& args) { copy_blocks(args, on_device()); }
void CudaStream::launch(const FiniteRowsArgs& args) { finite_rows(args, on_device()); }
void CudaStream::launch(const SampleArgs& args) { sample(args, scratch(), on_device()); }

}  // namespace lockstep::cuda
