// large_blocks: what malloc does with blocks of a megabyte and more: a prompt, a body, a frame. Not
// for the weights and the KV pool, which are never given back.
#pragma once

#include <cstddef>

namespace lockstep {

inline constexpr size_t kLargeBlockBytes = size_t{1} << 20;

// From now on each is mapped by itself and goes back to the system when it is freed. Otherwise
// glibc takes the first one that is freed as a hint to keep all that are as large (mallopt(3),
// M_MMAP_THRESHOLD), and one long prompt leaves its size with the process for good. Once, from
// main().
void give_back_large_blocks();

}  // namespace lockstep
