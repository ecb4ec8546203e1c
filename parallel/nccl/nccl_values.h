// NcclValues: the memory of one rank for the 64-bit values that the ranks exchange in agree() and
// barrier(): an array on the device, its pinned copy on the host, and a stream of their own.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lockstep {

class NcclValues {
 public:
  NcclValues() = default;
  ~NcclValues();  // blocks until the device no longer uses them
  NcclValues(const NcclValues&) = delete;
  NcclValues& operator=(const NcclValues&) = delete;

  // Allocates on the current device of this thread. Call once.
  cudaError_t allocate(int n_ranks);

  uint64_t* device() const { return device_; }  // [n_ranks]
  uint64_t* host() const { return host_; }      // [n_ranks], pinned
  cudaStream_t stream() const { return stream_; }

 private:
  uint64_t* device_ = nullptr;
  uint64_t* host_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

}  // namespace lockstep
