// large_blocks: how malloc treats blocks of a megabyte and more, such as a prompt, a body or a
// frame. Weights and KV pool are not affected, because they are never freed.
#pragma once

#include <cstddef>

namespace lockstep {

inline constexpr size_t kLargeBlockBytes = size_t{1} << 20;

// After this call, each such block is mapped by itself and returned to the system when it is freed.
// By default glibc raises its threshold at the first freed block and keeps all blocks up to that
// size (mallopt(3), M_MMAP_THRESHOLD), so that the process would keep the size of one long prompt
// forever. Call once, from main().
void give_back_large_blocks();

}  // namespace lockstep
