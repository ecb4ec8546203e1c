// CudaStream: the ops of one GPU, queued in order; wait() returns when all of them are done. Used
// by one thread at a time, which need not be the one that created it.
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
  // `device` must be the device with index device_idx. It and the ledger must outlive the stream.
  // Throws std::bad_alloc.
  CudaStream(Device& device, int device_idx, const StreamLimits& limits, MemoryLedger& ledger);
  // Bytes of device memory that the constructor allocates.
  static int64_t scratch_bytes(const StreamLimits& limits);
  // Waits for the queued ops, at most a second. A stream that is not idle then is leaked with its
  // scratch, which stays booked. (A device that hangs also blocks cudaFree, so a process with such
  // a device should end without freeing.)
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  const char* name() const override { return name_.c_str(); }
  void wait() override;

  void copy_to_device(const CopyArgs& copy) override;
  void copy_to_host(const CopyArgs& copy) override;
  void fill(const FillArgs& args) override;
  std::unique_ptr<Event> make_event() override;

  // The CUDA stream, for code that queues work behind the ops: collectives, timers. Also makes the
  // stream's device the current device of the calling thread, which CUDA requires for a launch.
  cudaStream_t on_device() const;

  void launch(const EmbedArgs& args) override;
  void launch(const RmsNormArgs& args) override;
  void launch(const HeadNormArgs& args) override;
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
  StreamScratch scratch() const;
  bool idle_before(std::chrono::steady_clock::time_point until) const;

  // constant after construction
  const int device_idx_;
  const std::string name_;  // "cuda:0"
  int n_sms_ = 0;
  cudaStream_t stream_ = nullptr;

  DeviceBuffer scratch_;
};

}  // namespace lockstep::cuda
