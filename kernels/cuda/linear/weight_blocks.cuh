// Blocks of quantised weights as tensor core operands: a warp reads the 16 x 32 weights of a block
// that is packed in fragments (kernels/layout/fragment_layout.h) and turns them into signed bytes.
// Bytes of Q4_0 and Q5_0 are the weights times a power of two, because a nibble at the top of a
// byte has its sign already.
//
// Exact integer sums without conversions: an instruction starts from the bits of kMagic = 1.5 *
// 2^23 as an integer; as long as the sum is smaller than 2^22 in magnitude, the result is, as bits,
// the float kMagic + sum.
#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/device/mma.cuh"
#include "kernels/layout/fragment_layout.h"

namespace lockstep::cuda {

inline constexpr float kMagic = 0x1.8p23f;
inline constexpr int kMagicBits = 0x4b400000;

// The factor of the bytes of A; |w| * kWeightFactor <= 128, so |sum| <= 128 * 127 * 32 < 2^22.
template <WeightType kType>
inline constexpr int kWeightFactor = kType == WeightType::kQ4_0   ? 16
                                     : kType == WeightType::kQ5_0 ? 8
                                                                  : 1;

// The float of an instruction's result for the weights themselves.
template <WeightType kType>
__device__ __forceinline__ float isum_of(int result) {
  if constexpr (kWeightFactor<kType> == 1) return __int_as_float(result) - kMagic;
  constexpr float kInverse = 1.0f / kWeightFactor<kType>;
  return fmaf(__int_as_float(result), kInverse, -kMagic * kInverse);  // exact
}

// What one warp lane reads of a block.
template <WeightType kType>
struct LaneBlock {
  struct alignas(kType == WeightType::kQ8_0 ? 16 : 8) Quants {
    uint32_t words[kType == WeightType::kQ8_0 ? 4 : 2];
  };
  struct alignas(has_min(kType) ? 8 : 4) Scales {
    uint32_t words[has_min(kType) ? 2 : 1];  // of rows g and g + 8: scales, minimums
  };
  Quants quants;
  Scales scales;
  uint32_t high = 0;

  LaneBlock() = default;
  __device__ __forceinline__ LaneBlock(const std::byte* block, int lane) {
    constexpr FragmentLayout kLayout = fragment_layout(kType);
    quants = reinterpret_cast<const Quants*>(block)[lane];
    scales = reinterpret_cast<const Scales*>(block + kLayout.scales)[lane / 4];
    if constexpr (has_high_bits(kType)) {
      high = reinterpret_cast<const uint16_t*>(block + kLayout.high)[lane];
    }
  }

  // Rows g (half = 0) and g + 8.
  __device__ __forceinline__ float scale(int half) const { return half_of(scales.words[0], half); }
  __device__ __forceinline__ float min(int half) const { return half_of(scales.words[1], half); }

  __device__ __forceinline__ FragmentA fragment() const {
    FragmentA a;
    if constexpr (kType == WeightType::kQ8_0) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a.words[i] = quants.words[i];
    } else {
      constexpr int kShift = kWeightFactor<kType> == 16 ? 4 : kWeightFactor<kType> == 8 ? 3 : 0;
      constexpr uint32_t kNibbles = 0x0f0f0f0fu << kShift;
      // The fifth bits of word i at bit i + i / 2 * 2 of each byte.
      const uint32_t fifth = high | high << 14;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t word = quants.words[i % 2];
        a.words[i] = (i < 2 ? word << kShift : word >> (4 - kShift)) & kNibbles;
        if constexpr (has_high_bits(kType)) {
          const int bit = i + i / 2 * 2;
          const int up = kShift + 4 - bit;
          a.words[i] |= (up >= 0 ? fifth << up : fifth >> -up) & (0x10101010u << kShift);
        }
      }
    }
    return a;
  }

 private:
  __device__ __forceinline__ static float half_of(uint32_t word, int half) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(word >> 16 * half)));
  }
};

// Adds one block to the sums of a 16 x 8 tile: acc = fma(w_scale * x_scale, isum, acc), and for
// types with a minimum fma(w_min, x_sum, acc). acc[2 * half + e] is of row g + 8 * half and of the
// token of column 2t + e, whose scale and sum are x_scale[e] and x_sum[e].
template <WeightType kType>
__device__ __forceinline__ void add_block(const LaneBlock<kType>& w, const FragmentA& a,
                                          const FragmentB& b, const float* x_scale,
                                          const float* x_sum, float* acc) {
  int result[4];
  mma_s8(result, a, b, kMagicBits);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    acc[i] = fmaf(w.scale(i / 2) * x_scale[i % 2], isum_of<kType>(result[i]), acc[i]);
    if constexpr (has_min(kType)) acc[i] = fmaf(w.min(i / 2), x_sum[i % 2], acc[i]);
  }
}

}  // namespace lockstep::cuda
