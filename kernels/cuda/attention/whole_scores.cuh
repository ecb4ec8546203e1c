// The scores of a tile of 64 keys: keys are loaded from the KV blocks and multiplied by the query
// rows in shared memory. whole_block.cuh says which thread has what.
#pragma once

#include "kernels/cuda/attention/whole_block.cuh"
#include "kernels/cuda/attention/whole_numbers.cuh"

namespace lockstep::cuda::whole {

// The keys of this thread's columns, of kBlocksAtOnce blocks of 32 dims: word w of block b and mma
// half j is pair 16b + 4w + t of key 32j + 8 * warp + g.
struct KeyWords {
  uint32_t of[2][kBlocksAtOnce][4];
};

// Behind the last dim another one is loaded, which the query's zeros drop.
__device__ inline void load_keys(const AttentionParams& p, const KeyPlace* places, int kv_head,
                                 int tile_begin, const Keys& range, int first_block,
                                 KeyWords& words) {
  const int last_pair = p.kv.head_dim / 2 - 1;
  const uint32_t* pairs[2];
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int key = tile_begin + 32 * j + 8 * warp_idx() + lane_g();
    const KeyPlace place = place_near(places, range, key);
    const std::byte* k = whole_plane(p.kv, place.block, kv_head).k;
    pairs[j] = reinterpret_cast<const uint32_t*>(k) + place.slot;
  }
#pragma unroll
  for (int b = 0; b < kBlocksAtOnce; ++b) {
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const int pair = (first_block + b) * (kBlockLen / 2) + 4 * w + lane_t();
      const int at = (pair < last_pair ? pair : last_pair) * p.kv.block_size;
      words.of[0][b][w] = __ldg(pairs[0] + at);
      words.of[1][b][w] = __ldg(pairs[1] + at);
    }
  }
}

// The scores of a tile before the scale: score[j][2r + e] is of row g + 8r and key
// 32j + 8 * warp + 2t + e. Those of keys outside the range are arbitrary.
__device__ inline void score_tile(const AttentionParams& p, const WholeShared& shared, int kv_head,
                                  int tile_begin, const Keys& range, float (&score)[2][4]) {
  const int n_blocks = (p.kv.head_dim + kBlockLen - 1) / kBlockLen;
  const float* k_scales[2][2];  // of the two keys of each half
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int key = tile_begin + i / 2 * 32 + 8 * warp_idx() + 2 * lane_t() + i % 2;
    const KeyPlace place = place_near(shared.places, range, key);
    k_scales[i / 2][i % 2] = whole_plane(p.kv, place.block, kv_head).k_scales + place.slot;
    score[0][i] = score[1][i] = 0.0f;
  }
  for (int first = 0; first < n_blocks; first += kBlocksAtOnce) {
    KeyWords words;
    load_keys(p, shared.places, kv_head, tile_begin, range, first, words);
#pragma unroll
    for (int b = 0; b < kBlocksAtOnce; ++b) {
      if (first + b >= n_blocks) break;
      const uint16_t* q = shared.q[0] + (first + b) * kBlockLen;
      const FragmentA a[2] = {load_a(q, sizeof shared.q[0]), load_a(q + 16, sizeof shared.q[0])};
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float high[4] = {}, low[4] = {};
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const SplitPair x = split_keys(words.of[j][b][2 * half]);
          const SplitPair y = split_keys(words.of[j][b][2 * half + 1]);
          mma_f16(high, a[half], {{x.high, y.high}});
          mma_f16(low, a[half], {{x.low, y.low}});
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float isum = fmaf(256.0f, high[i], low[i]);
          const float scale = shared.q_scales[lane_g() + i / 2 * 8][first + b] *
                              __ldg(k_scales[j][i % 2] + (first + b) * p.kv.block_size);
          score[j][i] = fmaf(scale, isum, score[j][i]);
        }
      }
    }
  }
}

}  // namespace lockstep::cuda::whole
