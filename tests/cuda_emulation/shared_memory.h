// __shared__ of the emulated devices: thread-local variables, so that each OS thread has a block of
// its own. All of them lie in one section, so that a block finds them filled with NaNs and not with
// what the block before it has left.
#pragma once

#include <cstddef>
#include <span>

// g++ 12 forgets the section of a template's variables unless its name is an expression that
// depends on the template's parameters, as the name of a function template does.
#if defined(__clang__)
#define CUDA_EMULATION_SECTION "cuda_shared"
#else
#define CUDA_EMULATION_SECTION \
  (sizeof(__PRETTY_FUNCTION__) > 0 ? "cuda_shared" : "cuda_shared")  // both arms of one type
#endif
// In functions with internal linkage, as kernels are: one section cannot hold variables of inline
// functions, which the linker merges, beside others.
#define __shared__ __attribute__((section(CUDA_EMULATION_SECTION))) static thread_local

namespace lockstep::cuda_emulation {

// All __shared__ variables of this program or library, those of the calling thread.
std::span<std::byte> shared_memory();

}  // namespace lockstep::cuda_emulation
