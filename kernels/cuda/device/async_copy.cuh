// cp.async: copies from global to shared memory that a thread starts and later waits for. The bytes
// are there for the thread once it has waited for the copy's group, and for other threads after a
// barrier that follows.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#ifndef __CUDACC__
#include <emulated_async_copy.h>
#endif

namespace lockstep::cuda {

// kBytes: 4, 8 or 16, of which both addresses are multiples. Copies of 16 bytes leave the L1 cache
// alone.
template <int kBytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#ifdef __CUDACC__
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0],[%1],16;" ::"r"(to), "l"(global) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0],[%1],%2;" ::"r"(to), "l"(global), "n"(kBytes)
                 : "memory");
  }
#else
  cuda_emulation::start_copy(shared, global, kBytes);
#endif
}

// Closes the group of the copies that this thread has started since the last call.
__device__ __forceinline__ void commit_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  cuda_emulation::commit_copies();
#endif
}

// Waits until all groups of this thread but the last kGroups are done.
template <int kGroups>
__device__ __forceinline__ void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
#else
  cuda_emulation::wait_for_copies(kGroups);
#endif
}

}  // namespace lockstep::cuda
