// The values of a tile of 64 keys: they are loaded from the KV blocks, and summed with the weights
// of the tile. whole_block.cuh says which thread has what.
#pragma once

#include "kernels/cuda/attention/whole_block.cuh"
#include "kernels/cuda/attention/whole_numbers.cuh"

namespace lockstep::cuda::whole {

// The values of a tile of this thread, kWords words for the four dims of a key.
template <int kGroups, int kWords>
struct ValueWords {
  uint32_t of[kGroups][kValueSteps][4][kWords];
};

// Behind the last dim other ones are loaded, whose sums are dropped.
template <int kGroups, int kWords>
__device__ inline void load_values(const AttentionParams& p, const KeyPlace* places, int kv_head,
                                   int tile_begin, const Keys& range,
                                   ValueWords<kGroups, kWords>& words) {
  const int head_dim = p.kv.head_dim;
#pragma unroll
  for (int step = 0; step < kValueSteps; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = tile_begin + 16 * step + 2 * lane_t() + i / 2 * 8 + i % 2;
      const KeyPlace place = place_near(places, range, key);
      const std::byte* values =
          whole_plane(p.kv, place.block, kv_head).v + place.slot * head_dim * kWords;
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const int wanted = group * kDimsOfWarps + warp_idx() * kBlockLen + 4 * lane_g();
        const int d = wanted < head_dim ? wanted : 0;
        auto& to = words.of[group][step][i];
        // Pairs of dims are aligned; four dims are if head_dim is a multiple of 4.
        const int next = d + 2 < head_dim ? 2 : 0;
        if constexpr (kWords == 2) {
          to[0] = __ldg(reinterpret_cast<const uint32_t*>(values) + d / 2);
          to[1] = __ldg(reinterpret_cast<const uint32_t*>(values) + (d + next) / 2);
        } else if (head_dim % 4 == 0) {
          to[0] = __ldg(reinterpret_cast<const uint32_t*>(values + d));
        } else {
          const uint32_t low = __ldg(reinterpret_cast<const uint16_t*>(values + d));
          const uint32_t high = __ldg(reinterpret_cast<const uint16_t*>(values + d + next));
          to[0] = low | high << 16;
        }
      }
    }
  }
}

// The exact sums of P v over a tile: sum[j][2r + e] is of row g + 8r and dim 4 * (2t + e) + j of
// the group.
template <int kWords>
__device__ inline void weigh_values(const FragmentA (&weights)[kValueSteps],
                                    const uint32_t (&words)[kValueSteps][4][kWords],
                                    float (&sum)[4][4]) {
  float high[4][4] = {};
#pragma unroll
  for (int i = 0; i < 16; ++i) sum[i / 4][i % 4] = 0.0f;
#pragma unroll
  for (int step = 0; step < kValueSteps; ++step) {
    const auto& keys = words[step];
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {  // of dims
      if constexpr (kWords == 1) {
        const uint32_t selector = pair == 0 ? 0x5140 : 0x7362;
        const uint32_t x = choose_bytes(keys[0][0], keys[1][0], selector);
        const uint32_t y = choose_bytes(keys[2][0], keys[3][0], selector);
        mma_f16(sum[2 * pair], weights[step], {{halves_of_bytes<0>(x), halves_of_bytes<0>(y)}});
        mma_f16(sum[2 * pair + 1], weights[step], {{halves_of_bytes<2>(x), halves_of_bytes<2>(y)}});
      } else {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const uint32_t selector = e == 0 ? 0x5410 : 0x7632;
          const SplitPair x = split_values(choose_bytes(keys[0][pair], keys[1][pair], selector));
          const SplitPair y = split_values(choose_bytes(keys[2][pair], keys[3][pair], selector));
          mma_f16(high[2 * pair + e], weights[step], {{x.high, y.high}});
          mma_f16(sum[2 * pair + e], weights[step], {{x.low, y.low}});
        }
      }
    }
  }
  if constexpr (kWords == 2) {
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      sum[i / 4][i % 4] = fmaf(128.0f, high[i / 4][i % 4], sum[i / 4][i % 4]);
    }
  }
}

}  // namespace lockstep::cuda::whole
