// Attention over k16v8 and k16v16 on tensor cores (docs/numerics.md section 4, items 7 to 9): whole
// numbers are carried as f16 and summed exactly in f32. A CUDA block takes one span of 16 query
// rows of one KV head, tile by tile; a query row is a query head of a token, and the tokens of a
// block are those of one sequence, one run after another. whole_block.cuh says which thread does
// what.
#include <algorithm>

#include "kernels/cuda/attention/whole_scores.cuh"
#include "kernels/cuda/attention/whole_values.cuh"
#include "kernels/cuda/attention/whole_weights.cuh"

namespace lockstep::cuda {
namespace {

using namespace whole;

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
