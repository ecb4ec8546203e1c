// KvLayout: the bytes of one KV block of one layer on one rank, the same on every back end.
//
//   block: | K of head 0 | K of head 1 | … | V of head 0 | V of head 1 | … |
//   K of a head: [head_dim][block_size]   keys side by side: a SIMD element or warp lane is one key
//   V of a head: [block_size][head_dim]   dims side by side: a SIMD element or warp lane is one dim
//
// For q8_0, f16 scales follow the int8 values of a head, one scale per 32 dims of a slot:
// K [head_dim / 32][block_size], V [block_size][head_dim / 32]. head_dim is a multiple of 32 then.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace lockstep {

inline constexpr int kMaxHeadDim = 256;

// Bytes of K (or V) of one head in one block.
int64_t kv_head_bytes(DType dtype, int block_size, int head_dim);

// Bytes of K and V of all heads in one block of one layer, rounded up to a multiple of 64.
int64_t kv_block_bytes(DType dtype, int block_size, int n_kv_heads, int head_dim);

// The addresses of K and V of one head in one block.
struct KvHeadBlock {
  std::byte* k = nullptr;
  std::byte* v = nullptr;
};
KvHeadBlock kv_head_block(const KvPages& kv, int64_t block, int head);

// Rounds n values to q8_0: int8 values and one f16 scale per 32 of them (docs/numerics.md section
// 4). n must be a multiple of 32.
void quantize_kv_row(const float* x, int n, int8_t* q, uint16_t* scales);

// A bound for keys and values before RoPE: those whose magnitude is below it are finite in the
// pages too. The rotation makes a key at most sqrt(2) times as large, and rounding to the dtype
// then gives no Inf.
float kv_finite_limit(DType dtype);

}  // namespace lockstep
