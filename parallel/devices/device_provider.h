// DeviceProvider: the devices of a node's ranks, and the groups in which the ranks exchange values.
// Ranks on CPUs share the memory of the process; on GPUs, rank r has the r-th device that the
// process sees. Immutable; any thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "kernels/device.h"
#include "parallel/communicator.h"

namespace lockstep {

class DeviceProvider {
 public:
  virtual ~DeviceProvider() = default;
  virtual const char* kind() const = 0;  // "cpu", "cuda"
  // Device::is_host() of its devices. If not, a rank can queue a step while one before it runs.
  virtual bool is_host() const = 0;

  // Opens the device of one rank. `cpu`: instruction set, threads and progress counters of the
  // rank; a GPU uses none of them. Throws std::bad_alloc, and LoadError if a GPU cannot be used.
  virtual std::unique_ptr<Device> open(int rank, const CpuStreamOptions& cpu) const = 0;

  // Bytes that each of the devices of ranks 0 … n_ranks - 1 can still give; 0 if they have no
  // memory of their own. Throws as open() does.
  virtual int64_t free_device_bytes(int n_ranks) const = 0;

  // Bytes of each device that must stay free for what its driver and the library of the group
  // allocate by themselves, an allowance; 0 if they have no memory of their own.
  virtual int64_t reserved_bytes(int /*n_ranks*/) const { return 0; }

  // Makes a group of ranks 0 … n_ranks - 1, whose streams are those of their devices. See
  // make_local_group() for the parameters.
  using Group = std::vector<std::unique_ptr<Communicator>>;
  virtual Result<Group> make_group(int n_ranks, const StallTimeout& timeout,
                                   int n_threads_in_process) const = 0;
  // The longest that the end of one group of n_ranks and make_group() for the next may take,
  // whether or not it succeeds. Zero: both only need memory.
  virtual std::chrono::milliseconds longest_forming(int /*n_ranks*/) const { return {}; }
};

std::shared_ptr<const DeviceProvider> cpu_devices();

struct CudaFiles {
  std::string module;        // empty = CudaModule::default_path()
  std::string nccl_library;  // empty = libnccl.so.2, for which the loader searches
};
// Loads the CUDA module, and NCCL if there are several ranks. The error names what is missing: the
// module, a driver, a GPU for each rank, or NCCL.
Result<std::shared_ptr<const DeviceProvider>> cuda_devices(const CudaFiles& files, int n_ranks);

}  // namespace lockstep
