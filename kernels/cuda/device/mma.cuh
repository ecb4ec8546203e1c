// Tensor core instructions. All 32 lanes of a warp must call a function of this file together; lane
// 4g + t of a warp, g = 0 … 7, t = 0 … 3, holds these parts of the matrices:
//
//   mma_s8    A 16 x 32   rows g, g + 8   words 0, 1: k = 4t … 4t + 3    words 2, 3: 16 more
//             B 32 x 8    column g        word 0:     k = 4t … 4t + 3    word 1:     16 more
//   mma_f16   A 16 x 16   rows g, g + 8   words 0, 1: k = 2t, 2t + 1     words 2, 3: 8 more
//             B 16 x 8    column g        word 0:     k = 2t, 2t + 1     word 1:     8 more
//   both      C, D 16 x 8 (row g: columns 2t, 2t + 1), (row g + 8: columns 2t, 2t + 1)
//
// A sum over k may take the k in any order, as long as A and B agree.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#ifndef __CUDACC__
#include <emulated_tensor_cores.h>
#endif

namespace lockstep::cuda {

struct alignas(16) FragmentA {
  uint32_t words[4];
};
struct alignas(8) FragmentB {
  uint32_t words[2];
};

// d = a b + c with signed bytes, and `c` in every element of C. The sum must fit 32 bits.
__device__ __forceinline__ void mma_s8(int (&d)[4], const FragmentA& a, const FragmentB& b, int c) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%10,%10,%10,%10};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a.words[0]), "r"(a.words[1]), "r"(a.words[2]), "r"(a.words[3]), "r"(b.words[0]),
        "r"(b.words[1]), "r"(c));
#else
  cuda_emulation::mma_s8(d, a.words, b.words, {c, c, c, c});
#endif
}

// The same over one half of k: words 2 * kHalf and 2 * kHalf + 1 of A, word kHalf of B.
template <int kHalf>
__device__ __forceinline__ void mma_s8_half(int (&d)[4], const FragmentA& a, const FragmentB& b,
                                            int c) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 "
      "{%0,%1,%2,%3},{%4,%5},{%6},{%7,%7,%7,%7};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a.words[2 * kHalf]), "r"(a.words[2 * kHalf + 1]), "r"(b.words[kHalf]), "r"(c));
#else
  cuda_emulation::mma_s8_k16(d, {a.words[2 * kHalf], a.words[2 * kHalf + 1]}, b.words[kHalf],
                             {c, c, c, c});
#endif
}

// d += a b with f16 operands and f32 sums. Exact, and then the same on every device, for whole
// numbers while the magnitudes of d and of the products add up to less than 2^24.
__device__ __forceinline__ void mma_f16(float (&d)[4], const FragmentA& a, const FragmentB& b) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.words[0]), "r"(a.words[1]), "r"(a.words[2]), "r"(a.words[3]), "r"(b.words[0]),
        "r"(b.words[1]));
#else
  cuda_emulation::mma_f16(d, a.words, b.words);
#endif
}

// Loads four 8 x 8 matrices of 16-bit values from shared memory. Lane i gives the address of row
// i % 8 of matrix i / 8, a multiple of 16. Word m of lane 4g + t gets row g, columns 2t and 2t + 1
// of matrix m; with kTranspose, column g, rows 2t and 2t + 1.
template <bool kTranspose = false>
__device__ __forceinline__ void load_matrices(FragmentA& d, const void* shared_row) {
#ifdef __CUDACC__
  const auto row = static_cast<uint32_t>(__cvta_generic_to_shared(shared_row));
  if constexpr (kTranspose) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(d.words[0]), "=r"(d.words[1]), "=r"(d.words[2]), "=r"(d.words[3])
                 : "r"(row)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(d.words[0]), "=r"(d.words[1]), "=r"(d.words[2]), "=r"(d.words[3])
                 : "r"(row)
                 : "memory");
  }
#else
  cuda_emulation::ldmatrix_x4(d.words, shared_row, kTranspose);
#endif
}

}  // namespace lockstep::cuda
