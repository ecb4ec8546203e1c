// How the threads of a CUDA block share the work on a tile of 64 keys of attention over k16v8 and
// k16v16 (whole_spans.cu), and what they share in memory. The block has 16 query rows:
//   scores  warp w takes the keys 8w … 8w + 7 and 32 + 8w … 32 + 8w + 7, so that the two values of
//           each lane of the strided sum meet in a thread
//   values  warp w takes the dims 32w … 32w + 31, and 128 more in wide heads
// Keys and values go from the KV blocks to registers in the order in which mma takes them
// (mma.cuh): thread 4g + t has
//   keys    of column g: the pairs of dims t, t + 4, t + 8, … of every 32 dims
//   values  the keys 2t, 2t + 1, 2t + 8, 2t + 9 of every 16, and of each the dims 4g … 4g + 3, one
//           for each of four mma: column g of mma j is dim 4g + j
// and the results of rows g and g + 8.
#pragma once

#include "kernels/cuda/attention/spans.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/mma.cuh"

namespace lockstep::cuda::whole {

inline constexpr int kWarps = 4;
inline constexpr int kThreads = kWarps * kWarpSize;
inline constexpr int kRows = 16;         // query rows of a CUDA block
inline constexpr int kRowsOfThread = 2;  // g and g + 8
inline constexpr int kMaxBlocks = kMaxHeadDim / kBlockLen;
inline constexpr int kBlocksAtOnce = 2;  // blocks of 32 dims whose keys a thread loads together
inline constexpr int kDimsOfWarps = kWarps * kBlockLen;
inline constexpr int kValueSteps = kTileKeys / 16;
inline constexpr int kPadding = 8;  // halves behind a row in shared memory, against bank conflicts

struct WholeShared {
  alignas(16) uint16_t q[kRows][kMaxHeadDim + kPadding];      // f16
  alignas(16) uint32_t p[kRows][(kTileKeys + kPadding) / 2];  // pairs of f16, of one tile
  float q_scales[kRows][kMaxBlocks];
  float m[kWarps][kRows], l[kWarps][kRows], u[kWarps][kRows];  // of a warp's keys of one tile
  Keys keys[kRows];  // that a row sees in the span; none in rows that do not exist
  KeyPlace places[kSpanKeys];
};

__device__ inline int warp_idx() { return static_cast<int>(threadIdx.x) / kWarpSize; }
__device__ inline int lane_g() { return static_cast<int>(threadIdx.x) % kWarpSize / 4; }
__device__ inline int lane_t() { return static_cast<int>(threadIdx.x) % 4; }

// The 16 x 16 part of an f16 matrix in shared memory that begins at `first`.
__device__ inline FragmentA load_a(const void* first, int row_bytes) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  FragmentA a;
  load_matrices(a, static_cast<const char*>(first) + lane % 16 * row_bytes + lane / 16 * 16);
  return a;
}

// The place of a key, or that of another one where the key is outside the range. What is then
// computed from the other key is masked.
__device__ inline KeyPlace place_near(const KeyPlace* places, const Keys& range, int key) {
  return places[(range.has(key) ? key : range.begin) % kSpanKeys];
}

}  // namespace lockstep::cuda::whole
