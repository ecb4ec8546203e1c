// From the scores of a tile of 64 keys to its weights in whole numbers (docs/numerics.md section 4,
// items 7 to 9). The warps meet in shared memory. whole_block.cuh says which thread has what.
#pragma once

#include "kernels/cuda/attention/whole_block.cuh"

namespace lockstep::cuda::whole {

// The largest value of the four threads of a row; NaN if one is.
__device__ inline float row_max(float x) {
  x = max_or_nan(x, __shfl_xor_sync(kAllLanes, x, 1));
  return max_or_nan(x, __shfl_xor_sync(kAllLanes, x, 2));
}

// The part of one tile that is about its scores. Replaces those of this thread by P, writes P to
// shared memory, and gives m, l and u of the tile for rows g and g + 8.
struct TileWeights {
  float m[kRowsOfThread], l[kRowsOfThread], u[kRowsOfThread];
};
__device__ inline void weigh_tile(const AttentionParams& p, WholeShared& shared, int kv_head,
                                  int tile_begin, const Keys& range,
                                  const Keys (&seen)[kRowsOfThread], float (&score)[2][4],
                                  TileWeights& tile) {
  const int warp = warp_idx(), g = lane_g(), t = lane_t();
  const auto key_of = [&](int j, int e) { return tile_begin + 32 * j + 8 * warp + 2 * t + e; };
  float v_scale[2][2];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int key = key_of(i / 2, i % 2);
    const KeyPlace place = place_near(shared.places, range, key);
    v_scale[i / 2][i % 2] = __ldg(whole_plane(p.kv, place.block, kv_head).v_scales + place.slot);
  }
#pragma unroll
  for (int r = 0; r < kRowsOfThread; ++r) {
    float m = -kInfinity;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float& s = score[i / 2][2 * r + i % 2];
      s = s * p.scale;
      if (seen[r].has(key_of(i / 2, i % 2))) m = max_or_nan(m, s);
    }
    m = row_max(m);
    if (t == 0) shared.m[warp][g + 8 * r] = m;
  }
  __syncthreads();  // the maxima of all warps are written
#pragma unroll
  for (int r = 0; r < kRowsOfThread; ++r) {
    const int row = g + 8 * r;
    tile.m[r] = max_or_nan(max_or_nan(shared.m[0][row], shared.m[1][row]),
                           max_or_nan(shared.m[2][row], shared.m[3][row]));
    float u = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float& s = score[i / 2][2 * r + i % 2];
      s = seen[r].has(key_of(i / 2, i % 2)) ? contract_exp(s - tile.m[r]) : 0.0f;
    }
    // The lanes of the strided sum that are in this thread, 8 * warp + 2t + e, and their tree.
    float l = (score[0][2 * r] + score[1][2 * r]) + (score[0][2 * r + 1] + score[1][2 * r + 1]);
    l = l + __shfl_xor_sync(kAllLanes, l, 1);
    l = l + __shfl_xor_sync(kAllLanes, l, 2);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float& s = score[i / 2][2 * r + i % 2];
      s = seen[r].has(key_of(i / 2, i % 2)) ? s * v_scale[i / 2][i % 2] : 0.0f;
      u = max_or_nan(u, s);
    }
    u = row_max(u);
    if (t == 0) {
      shared.l[warp][row] = l;
      shared.u[warp][row] = u;
    }
  }
  __syncthreads();  // l and u of all warps are written
#pragma unroll
  for (int r = 0; r < kRowsOfThread; ++r) {
    const int row = g + 8 * r;
    tile.l[r] = (shared.l[0][row] + shared.l[1][row]) + (shared.l[2][row] + shared.l[3][row]);
    tile.u[r] = max_or_nan(max_or_nan(shared.u[0][row], shared.u[1][row]),
                           max_or_nan(shared.u[2][row], shared.u[3][row]));
    const float inverse = tile.u[r] >= 0x1p-96f ? kMaxWholeWeight / tile.u[r] : 0.0f;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      uint32_t pair = 0;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float weight = inverse == 0.0f ? 0.0f : rintf(score[j][2 * r + e] * inverse);
        pair |= uint32_t{__half_as_ushort(__float2half_rn(weight))} << 16 * e;
      }
      shared.p[row][(key_of(j, 0) - tile_begin) / 2] = pair;
    }
  }
  __syncthreads();  // P is written
}

}  // namespace lockstep::cuda::whole
