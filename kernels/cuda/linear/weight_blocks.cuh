// Blocks of quantised weights as tensor core operands: a warp reads the 16 x 32 weights of a block
// that is packed in fragments (kernels/layout/fragment_layout.h) and turns them into signed bytes.
// Bytes of Q4_0, Q5_0 and Q6_K are the weights times a power of two, because a number at the top of
// a byte has its sign already. K-quants have two scales: those of the block are whole numbers, and
// the product with a sum is exact; d and -dmin come from the header of the super-block.
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

// What warp lane 4g + t reads of the 32 activations of token g: 8 from 8t on, or of Q6_K 4 from 4t
// on and 4 from 4t + 16 on. The first lies at kFirstAct * t, and q points at it.
template <WeightType kType>
inline constexpr int kFirstAct = kType == WeightType::kQ6_K ? 4 : 8;
template <WeightType kType>
__device__ __forceinline__ FragmentB load_acts(const int8_t* q) {
  if constexpr (kType == WeightType::kQ6_K) {
    return {{*reinterpret_cast<const uint32_t*>(q), *reinterpret_cast<const uint32_t*>(q + 16)}};
  } else {
    return *reinterpret_cast<const FragmentB*>(q);
  }
}

// The same for Q6_K, with loads that the compiler may not join to earlier ones.
template <WeightType kType>
__device__ __forceinline__ FragmentB load_acts_again(const int8_t* q) {
  static_assert(kType == WeightType::kQ6_K);
  const auto* words = reinterpret_cast<const volatile uint32_t*>(q);
  return {{words[0], words[4]}};
}

// The factor of the bytes of A; |w| * kWeightFactor <= 128, so |sum| <= 128 * 127 * 32 < 2^22.
template <WeightType kType>
inline constexpr int kWeightFactor = kType == WeightType::kQ4_0   ? 16
                                     : kType == WeightType::kQ5_0 ? 8
                                     : kType == WeightType::kQ6_K ? 4
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
  Scales scales;  // K-quants: d and -dmin
  uint32_t high = 0;
  uint32_t k_scales = 0;  // K-quants: bytes, of rows g and g + 8: the first ones, the second ones

  LaneBlock() = default;
  __device__ __forceinline__ LaneBlock(const std::byte* block, int lane) {
    constexpr FragmentLayout kLayout = fragment_layout(kType);
    quants = reinterpret_cast<const Quants*>(block)[lane];
    scales = reinterpret_cast<const Scales*>(block + kLayout.scales)[lane / 4];
    if constexpr (n_high_bits(kType) == 1) {
      high = reinterpret_cast<const uint16_t*>(block + kLayout.high)[lane];
    }
  }
  // K-quants.
  __device__ __forceinline__ LaneBlock(const std::byte* block, const std::byte* header, int lane) {
    constexpr FragmentLayout kLayout = fragment_layout(kType);
    quants = reinterpret_cast<const Quants*>(block)[lane];
    scales = reinterpret_cast<const Scales*>(header)[lane / 4];
    k_scales = reinterpret_cast<const uint32_t*>(block + kLayout.scales)[lane / 4];
    if constexpr (n_high_bits(kType) == 1) {
      high = reinterpret_cast<const uint16_t*>(block + kLayout.high)[lane];
    } else if constexpr (n_high_bits(kType) == 2) {
      high = reinterpret_cast<const uint32_t*>(block + kLayout.high)[lane];
    }
  }

  // Rows g (half = 0) and g + 8.
  __device__ __forceinline__ float scale(int half) const { return half_of(scales.words[0], half); }
  __device__ __forceinline__ float min(int half) const { return half_of(scales.words[1], half); }
  // K-quants: scale and minimum of the block; Q6_K: the scales of k < 16 and of the others.
  __device__ __forceinline__ float k_scale(int i, int half) const {
    const uint32_t byte = k_scales >> 8 * (2 * i + half);
    if constexpr (has_min(kType)) return static_cast<float>(byte & 0xffu);
    return static_cast<float>(static_cast<int8_t>(byte));
  }

  __device__ __forceinline__ FragmentA fragment() const {
    FragmentA a;
    if constexpr (kType == WeightType::kQ8_0) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a.words[i] = quants.words[i];
    } else {
      constexpr int kShift = kWeightFactor<kType> == 16  ? 4
                             : kWeightFactor<kType> == 8 ? 3
                             : kWeightFactor<kType> == 4 ? 2
                                                         : 0;
      constexpr uint32_t kNibbles = 0x0f0f0f0fu << kShift;
      // The fifth bits of word i at bit i + i / 2 * 2 of each byte.
      const uint32_t fifth = high | high << 14;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t word = quants.words[i % 2];
        a.words[i] = (i < 2 ? word << kShift : word >> (4 - kShift)) & kNibbles;
        if constexpr (n_high_bits(kType) == 1) {
          const int bit = i + i / 2 * 2;
          const int up = kShift + 4 - bit;
          a.words[i] |= (up >= 0 ? fifth << up : fifth >> -up) & (0x10101010u << kShift);
        } else if constexpr (n_high_bits(kType) == 2) {
          a.words[i] |= high << (6 - 2 * i) & 0xc0c0c0c0u;
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

// The sums of a block of a K-quant, times its integer scales: [half][e] as in add_block.
template <WeightType kType>
__device__ __forceinline__ void sum_k_quant(const LaneBlock<kType>& w, const FragmentA& a,
                                            const FragmentB& b, float (&isum)[4]) {
  int result[4];
  if constexpr (has_min(kType)) {
    mma_s8(result, a, b, kMagicBits);
#pragma unroll
    for (int i = 0; i < 4; ++i) isum[i] = w.k_scale(0, i / 2) * isum_of<kType>(result[i]);
  } else {
    mma_s8_half<1>(result, a, b, kMagicBits);
#pragma unroll
    for (int i = 0; i < 4; ++i) isum[i] = w.k_scale(1, i / 2) * isum_of<kType>(result[i]);
    mma_s8_half<0>(result, a, b, kMagicBits);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      isum[i] = fmaf(w.k_scale(0, i / 2), isum_of<kType>(result[i]), isum[i]);
    }
  }
}

// Adds one block to the sums of a 16 x 8 tile: acc = fma(w_scale * x_scale, isum, acc), and for
// types with a minimum fma(w_min, x_sum, acc). acc[2 * half + e] is of row g + 8 * half and of the
// token of column 2t + e, whose scale and sum are x_scale[e] and x_sum[e].
template <WeightType kType>
__device__ __forceinline__ void add_block(const LaneBlock<kType>& w, const FragmentA& a,
                                          const FragmentB& b, const float* x_scale,
                                          const float* x_sum, float* acc) {
  if constexpr (is_k_quant(kType)) {
    float isum[4];
    sum_k_quant(w, a, b, isum);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      acc[i] = fmaf(w.scale(i / 2) * x_scale[i % 2], isum[i], acc[i]);
      if constexpr (has_min(kType)) {
        acc[i] = fmaf(w.min(i / 2) * w.k_scale(1, i / 2), x_sum[i % 2], acc[i]);
      }
    }
    return;
  }
  int result[4];
  mma_s8(result, a, b, kMagicBits);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    acc[i] = fmaf(w.scale(i / 2) * x_scale[i % 2], isum_of<kType>(result[i]), acc[i]);
    if constexpr (has_min(kType)) acc[i] = fmaf(w.min(i / 2), x_sum[i % 2], acc[i]);
  }
}

}  // namespace lockstep::cuda
