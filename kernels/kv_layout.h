// KvLayout: the bytes of one KV block of one layer on one rank, the same on every back end.
//
//   block: | K of head 0 | K of head 1 | … | V of head 0 | V of head 1 | … |
//   K of a head: [head_dim][block_size]   keys side by side: a SIMD element or warp lane is one key
//   V of a head: [block_size][head_dim]   dims side by side: a SIMD element or warp lane is one dim
//
// For q8_0, f16 scales follow the int8 values of a head, one scale per 32 dims of a slot:
// K [head_dim / 32][block_size], V [block_size][head_dim / 32]. head_dim is a multiple of 32 then.
//
// For k16v8 and k16v16, f32 scales come before the whole numbers of a head, and head_dim is even:
//   K of a head: scales [ceil(head_dim / 32)][block_size], then i16 [head_dim / 2][block_size][2]
//   V of a head: scales [block_size], then i8 (k16v16: i16) [block_size][head_dim]
// Two dims of a key are neighbours, because the CPU multiplies and adds 16-bit numbers in pairs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace lockstep {

inline constexpr int kMaxHeadDim = 256;

// Bytes of K, or of V, of one head in one block.
int64_t k_head_bytes(DType dtype, int block_size, int head_dim);
int64_t v_head_bytes(DType dtype, int block_size, int head_dim);

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

// Whether K and V are whole numbers with f32 scales, which attention multiplies exactly.
constexpr bool is_whole_number_kv(DType dtype) {
  return dtype == DType::kK16V8 || dtype == DType::kK16V16;
}
// The largest whole numbers of K, of V and of the query of a row (docs/numerics.md section 4).
inline constexpr float kMaxWholeKey = 32767.0f;
inline constexpr float kMaxWholeQuery = 2047.0f;
inline constexpr float kMaxWholeWeight = 2047.0f;  // of a key's weight in the sum over V
constexpr float max_whole_value(DType dtype) { return dtype == DType::kK16V8 ? 127.0f : 16383.0f; }

// One head in one block of a whole-number dtype; the shapes are those of the layout above.
struct WholeHeadBlock {
  float* k_scales = nullptr;
  int16_t* k = nullptr;
  float* v_scales = nullptr;
  std::byte* v = nullptr;
};
WholeHeadBlock whole_head_block(const KvPages& kv, int64_t block, int head);

// Rounds n values to whole numbers of magnitude <= q_max and returns their scale ("whole numbers
// of n values" in docs/numerics.md section 4).
float quantize_whole(const float* x, int n, float q_max, int16_t* q);

// A bound for keys and values before RoPE: those whose magnitude is below it are finite in the
// pages too. The rotation makes a key at most sqrt(2) times as large, and rounding to the dtype
// then gives no Inf.
float kv_finite_limit(DType dtype);

}  // namespace lockstep
