// Attention over k16v8 and k16v16 on tensor cores (docs/numerics.md section 4, items 7 to 9): whole
// numbers are carried as f16 and summed exactly in f32. A CUDA block takes one span of 16 query
// rows of one KV head, tile by tile; a query row is a query head of a token, and the tokens of a
// block are those of one sequence, one run after another. In a tile of 64 keys,
//   scores  warp w takes the keys 8w … 8w + 7 and 32 + 8w … 32 + 8w + 7, so that the two values of
//           each lane of the strided sum meet in a thread
//   values  warp w takes the dims 32w … 32w + 31, and 128 more in wide heads
// Keys and values go from the KV blocks to registers in the order in which mma takes them
// (mma.cuh): thread 4g + t has
//   keys    of column g: the pairs of dims t, t + 4, t + 8, … of every 32 dims
//   values  the keys 2t, 2t + 1, 2t + 8, 2t + 9 of every 16, and of each the dims 4g … 4g + 3, one
//           for each of four mma: column g of mma j is dim 4g + j
// and the results of rows g and g + 8.
#include <algorithm>

#include "kernels/cuda/attention/spans.cuh"
#include "kernels/cuda/attention/whole_numbers.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/mma.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kRows = 16;         // query rows of a CUDA block
constexpr int kRowsOfThread = 2;  // g and g + 8
constexpr int kMaxBlocks = kMaxHeadDim / kBlockLen;
constexpr int kBlocksAtOnce = 2;  // blocks of 32 dims whose keys a thread loads together
constexpr int kDimsOfWarps = kWarps * kBlockLen;
constexpr int kValueSteps = kTileKeys / 16;
constexpr int kPadding = 8;  // halves behind a row in shared memory, against bank conflicts

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

// The query rows of a CUDA block: query heads [first_head, first_head + n_heads) of each token of
// [first_row, first_row + n_tokens).
struct QueryRows {
  int first_row, n_tokens, first_head, n_heads;
  __device__ int n() const { return n_tokens * n_heads; }
  __device__ int row(int i) const { return first_row + i / n_heads; }
  __device__ int head(int i) const { return first_head + i % n_heads; }
};

// Rounds the query rows to whole numbers, and zeros those that do not exist and the dims behind the
// last. A warp takes 32 dims of a row.
__device__ void quantize_queries(const AttentionParams& p, const QueryRows& rows,
                                 WholeShared& shared) {
  const int n_blocks = (p.kv.head_dim + kBlockLen - 1) / kBlockLen;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  for (int work = warp_idx(); work < kRows * n_blocks; work += kWarps) {
    const int i = work / n_blocks, block = work % n_blocks;
    const int d = block * kBlockLen + lane;
    float x = 0.0f;
    if (i < rows.n() && d < p.kv.head_dim) {
      x = p.q[rows.row(i) * p.q_stride + rows.head(i) * p.kv.head_dim + d];
    }
    const WholeScale s = whole_scale(warp_max_or_nan(fabsf(x)), kMaxWholeQuery);
    const auto q = static_cast<float>(whole_number(x, s.inverse));
    shared.q[i][d] = __half_as_ushort(__float2half_rn(q));
    if (lane == 0) shared.q_scales[i][block] = s.scale;
  }
}

// The 16 x 16 part of an f16 matrix in shared memory that begins at `first`.
__device__ inline FragmentA load_a(const void* first, int row_bytes) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  FragmentA a;
  load_matrices(a, static_cast<const char*>(first) + lane % 16 * row_bytes + lane / 16 * 16);
  return a;
}

// The keys of this thread's columns, of kBlocksAtOnce blocks of 32 dims: word w of block b and mma
// half j is pair 16b + 4w + t of key 32j + 8 * warp + g.
struct KeyWords {
  uint32_t of[2][kBlocksAtOnce][4];
};

// The place of a key, or that of another one where the key is outside the range. What is then
// computed from the other key is masked.
__device__ inline KeyPlace place_near(const KeyPlace* places, const Keys& range, int key) {
  return places[(range.has(key) ? key : range.begin) % kSpanKeys];
}

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

// The span of the query rows, which are of one sequence; `range` has the keys that any of them
// sees.
template <int kGroups, int kWords>
__device__ void attend(const AttentionParams& p, WholeShared& shared, const QueryRows& rows,
                       int kv_head, int pass_span, const Keys& range) {
  const int g = lane_g(), t = lane_t();
  const Keys seen[kRowsOfThread] = {shared.keys[g], shared.keys[g + 8]};
  Softmax state[kRowsOfThread];
  float o[kGroups][4][4];
  for (int tile_begin = range.begin / kTileKeys * kTileKeys; tile_begin < range.end;
       tile_begin += kTileKeys) {
    float score[2][4];
    score_tile(p, shared, kv_head, tile_begin, range, score);
    ValueWords<kGroups, kWords> values;  // in flight while the scores become weights
    load_values(p, shared.places, kv_head, tile_begin, range, values);
    TileWeights tile;
    weigh_tile(p, shared, kv_head, tile_begin, range, seen, score, tile);

    Rescale rescale[kRowsOfThread];
    bool is_visible[kRowsOfThread], is_first[kRowsOfThread];
    float unit[kRowsOfThread];
#pragma unroll
    for (int r = 0; r < kRowsOfThread; ++r) {
      const Keys of_tile = clamp_keys(seen[r], tile_begin, tile_begin + kTileKeys);
      is_visible[r] = of_tile.begin < of_tile.end;
      is_first[r] = of_tile.begin == seen[r].begin;
      if (is_visible[r]) rescale[r] = state[r].join(is_first[r], tile.m[r], tile.l[r]);
      // A tile without weight has the sum 0; one with a NaN is NaN in every dim.
      unit[r] = tile.u[r] / kMaxWholeWeight;
    }
    FragmentA weights[kValueSteps];
#pragma unroll
    for (int step = 0; step < kValueSteps; ++step) {
      weights[step] = load_a(shared.p[0] + 8 * step, sizeof shared.p[0]);
    }
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      if (group * kDimsOfWarps + warp_idx() * kBlockLen >= p.kv.head_dim) break;
      float sum[4][4];
      weigh_values<kWords>(weights, values.of[group], sum);
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        const int r = i % 4 / 2;
        float& state_o = o[group][i / 4][i % 4];
        const float o_tile = unit[r] * sum[i / 4][i % 4];
        if (!is_visible[r]) continue;
        state_o =
            is_first[r] ? o_tile : fmaf(o_tile, rescale[r].joining, state_o * rescale[r].state);
      }
    }
  }

#pragma unroll
  for (int r = 0; r < kRowsOfThread; ++r) {
    const int i = g + 8 * r;
    if (seen[r].begin >= seen[r].end) continue;
    const Partial partial = p.partial(rows.row(i) - p.first_row, rows.head(i), pass_span);
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int d = group * kDimsOfWarps + warp_idx() * kBlockLen + 4 * (2 * t + e);
        if (d >= p.kv.head_dim) continue;
        *reinterpret_cast<float4*>(partial.o + d) =
            float4{o[group][0][2 * r + e], o[group][1][2 * r + e], o[group][2][2 * r + e],
                   o[group][3][2 * r + e]};
      }
    }
    if (warp_idx() == 0 && t == 0) {
      *partial.m = state[r].m;
      *partial.l = state[r].l;
    }
  }
}

struct WholeParams {
  AttentionParams attention;
  int tokens_per_block = 1;
};

// Grid: span of the pass, (KV head, run of kRows of its query heads), run of rows of the step.
template <int kGroups, int kWords>
__global__ void __launch_bounds__(kThreads, kGroups == 1 ? 3 : 2)
    attend_span(const __grid_constant__ WholeParams params) {
  __shared__ WholeShared shared;
  const AttentionParams& p = params.attention;
  const int runs_per_kv = (p.heads_per_kv + kRows - 1) / kRows;
  const int kv_head = static_cast<int>(blockIdx.y) / runs_per_kv;
  const int first_in_group = static_cast<int>(blockIdx.y) % runs_per_kv * kRows;
  const int left = p.heads_per_kv - first_in_group;
  const int pass_span = static_cast<int>(blockIdx.x);
  const int span_begin = (p.first_span + pass_span) * kSpanKeys;
  const int first_row = p.first_row + static_cast<int>(blockIdx.z) * params.tokens_per_block;
  const int all_rows = p.first_row + p.n_rows;
  const int end_row = first_row + params.tokens_per_block < all_rows
                          ? first_row + params.tokens_per_block
                          : all_rows;

  QueryRows rows{first_row, 0, kv_head * p.heads_per_kv + first_in_group,
                 left < kRows ? left : kRows};
  for (; rows.first_row < end_row; rows.first_row += rows.n_tokens) {
    rows.n_tokens = 0;
    Keys range{span_begin + kSpanKeys, span_begin};
    const int seq = p.seq_of_token[rows.first_row];
    for (int row = rows.first_row; row < end_row && p.seq_of_token[row] == seq; ++row) {
      const Keys keys = clamp_keys(keys_of(p, row), span_begin, span_begin + kSpanKeys);
      ++rows.n_tokens;
      if (keys.begin >= keys.end) continue;
      range = {keys.begin < range.begin ? keys.begin : range.begin,
               keys.end > range.end ? keys.end : range.end};
    }
    if (range.begin >= range.end) continue;
    // Of the sequence before, every thread has read these behind the barriers of its last tile.
    if (const int i = static_cast<int>(threadIdx.x); i < kRows) {
      shared.keys[i] = i < rows.n()
                           ? clamp_keys(keys_of(p, rows.row(i)), span_begin, span_begin + kSpanKeys)
                           : Keys{};
    }
    find_places<kThreads>(p, table_of(p, rows.first_row), range.begin, range.end, shared.places);
    quantize_queries(p, rows, shared);
    __syncthreads();  // keys, places and queries are written
    attend<kGroups, kWords>(p, shared, rows, kv_head, pass_span, range);
  }
}

}  // namespace

void attend_whole_spans(DType dtype, const AttentionParams& p, int n_spans, cudaStream_t stream) {
  WholeParams params;
  params.attention = p;
  // As many tokens as fill the rows of a CUDA block, if the step has that many of each sequence.
  const int n_heads = p.heads_per_kv < kRows ? p.heads_per_kv : kRows;
  const int tokens_per_seq = (p.n_rows + p.n_seqs - 1) / p.n_seqs;
  params.tokens_per_block = std::max(1, std::min(kRows / n_heads, tokens_per_seq));
  const dim3 grid(static_cast<unsigned>(n_spans),
                  blocks_for(p.heads_per_kv, kRows) * static_cast<unsigned>(p.kv.n_kv_heads),
                  blocks_for(p.n_rows, params.tokens_per_block));
  const bool is_wide = p.kv.head_dim > kDimsOfWarps;
  const auto kernel = dtype == DType::kK16V8 ? is_wide ? attend_span<2, 1> : attend_span<1, 1>
                      : is_wide ? attend_span<2, 2>
                                             : attend_span<1, 2>;
  launch(kernel, grid, kThreads, stream, params);
}

}  // namespace lockstep::cuda
