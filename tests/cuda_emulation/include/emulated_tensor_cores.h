// The tensor core instructions of kernels/cuda/device/mma.cuh, over the emulator. A warp's 32 lanes
// must call together. Fragment layouts: PTX ISA, "Warp Level Matrix Multiply-Accumulate
// Instructions".
#pragma once

#include <cstdint>

namespace lockstep::cuda_emulation {

// mma.m16n8k32 of signed bytes: d = a b + c.
void mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const int (&c)[4]);

// mma.m16n8k16 of signed bytes: d = a b + c.
void mma_s8_k16(int (&d)[4], const uint32_t (&a)[2], uint32_t b, const int (&c)[4]);

// mma.m16n8k16 of f16 with f32 sums: d += a b. Devices round such sums each in their own way, so
// operands that are not whole numbers, or sums of 2^24 or more, are faults.
void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

// ldmatrix.x4 of 8 x 8 matrices of 16-bit values, with .trans if `transpose`. Lane i gives the
// address of row i % 8 of matrix i / 8, which must be 16-byte aligned.
void ldmatrix_x4(uint32_t (&d)[4], const void* row, bool transpose);

}  // namespace lockstep::cuda_emulation
