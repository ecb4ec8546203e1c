// CudaStream: the ops of one GPU, queued in order; wait() returns when all of them are done. An op
// that has no CUDA kernel yet ends the process when it is launched (CUDA does not serve models in
// this version). One thread at a time; it need not be the one that made it.
#pragma once

#include <cuda_runtime.h>

#include <chrono>
#include <string>

#include "kernels/cuda/device/launches.h"
#include "kernels/device.h"
#include "kernels/ops.h"

namespace lockstep::cuda {

class CudaStream final : public Stream {
 public:
  // `device` is the device_idx-th; it and the ledger must outlive the stream. Throws
  // std::bad_alloc.
  CudaStream(Device& device, int device_idx, const StreamLimits& limits, MemoryLedger& ledger);
  // Waits for what is queued; but a stream that is not idle after a second is left behind with its
  // scratch, which then stays booked. (A device that hangs holds up cudaFree as well: a process
  // with one should end rather than tidy up.)
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  const char* name() const override { return name_.c_str(); }
  void wait() override;
  // For others that queue work behind the ops: collectives, timers. Makes the stream's device the
  // calling thread's, since CUDA launches to the streams of no other.
  cudaStream_t on_device() const;

  void launch(const EmbedArgs& args) override;
  void launch(const RmsNormArgs& args) override;
  void launch(const QuantizeArgs& args) override;
  void launch(const LinearArgs& args) override;
  void launch(const AddRmsNormArgs& args) override;
  void launch(const RopeStoreArgs& args) override;
  void launch(const AttentionArgs& args) override;
  void launch(const SiluMulArgs& args) override;
  void launch(const GatherRowsArgs& args) override;
  void launch(const ConcatColumnsArgs& args) override;
  void launch(const ResolveTokensArgs& args) override;
  void launch(const CopyBlocksArgs& args) override;
  void launch(const FiniteRowsArgs& args) override;
  void launch(const SampleArgs& args) override;

 private:
  bool idle_before(std::chrono::steady_clock::time_point until) const;

  // constant after construction
  const int device_idx_;
  const std::string name_;  // "cuda:0"
  int n_sms_ = 0;
  cudaStream_t stream_ = nullptr;

  DeviceBuffer attention_scratch_;
};

}  // namespace lockstep::cuda
