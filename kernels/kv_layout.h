// KvLayout: bytes of one KV block of one layer on one rank, for the CPU back ends.
//
//   block: | K of head 0 | K of head 1 | … | V of head 0 | V of head 1 | … |
//   K of a head: [head_dim][block_size]   keys side by side, so that one SIMD lane is one key
//   V of a head: [block_size][head_dim]   dims side by side, so that one SIMD lane is one dim
//
// q8_0 keeps, per head and slot, head_dim / 32 f16 scales after the int8 values of the head.
#pragma once

#include <cstdint>

#include "kernels/view.h"

namespace lockstep {

// Bytes of K (or V) of one head in one block.
int64_t kv_head_bytes(DType dtype, int block_size, int head_dim);

// Bytes of K and V of all heads in one block of one layer, rounded up to 64.
int64_t kv_block_bytes(DType dtype, int block_size, int n_kv_heads, int head_dim);

}  // namespace lockstep
