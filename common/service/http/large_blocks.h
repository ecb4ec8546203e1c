// large_blocks: configures malloc for blocks of 1 MiB and more: prompts, bodies and frames. It does
// not matter for the weights and the KV pool, which are never freed.
#pragma once

#include <cstddef>

namespace lockstep {

inline constexpr size_t kLargeBlockBytes = size_t{1} << 20;

// After this call, each large block has its own mapping and is returned to the system when it is
// freed. Without the call, glibc raises its threshold when the first large block is freed and keeps
// later blocks of that size (mallopt(3), M_MMAP_THRESHOLD), so one long prompt would permanently
// increase the process's memory by its size. To be called once, from main().
void give_back_large_blocks();

}  // namespace lockstep
