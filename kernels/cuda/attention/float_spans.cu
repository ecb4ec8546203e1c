// Attention over keys and values that are floats, or q8_0 widened to floats: chains of fma in
// strict order (docs/numerics.md section 4, items 3 and 4). A CUDA block takes one span of one row
// and up to kHeads query heads of one KV head, tile by tile.
//
// Made for steps of one row per sequence (decoding). Prefill gives the same bits, but reads the
// keys again for every row.
#include "kernels/cuda/attention/spans.cuh"
#include "kernels/cuda/device/launch.h"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kHeads = 4;          // query heads that share one read of the keys; a warp each
constexpr int kKeysInFlight = 16;  // keys whose V a thread loads before it uses the first
constexpr int kDims = kMaxHeadDim / kThreads;  // dims of o of a thread
static_assert(kHeads == kWarps);

// One value per head, side by side so that one load reads them all.
struct alignas(sizeof(float) * kHeads) OfHeads {
  float of[kHeads];
};

// What a tile passes from the threads of its scores to those of its values.
struct Tile {
  OfHeads weights[kTileKeys];  // scores, then p
  Rescale rescale[kHeads];
};

// The scores of the keys [begin, end) of a tile. A thread is a key; the two halves of the CUDA
// block take every other head.
template <DType dtype>
__device__ void score_tile(const AttentionParams& p, const float (*q)[kMaxHeadDim],
                           const KeyPlace* places, int kv_head, int n_heads, int begin, int end,
                           OfHeads* scores) {
  constexpr int kHalves = kThreads / kTileKeys;
  constexpr int kHeadsPerHalf = kHeads / kHalves;
  const int half = static_cast<int>(threadIdx.x) / kTileKeys;
  const int key = begin / kTileKeys * kTileKeys + static_cast<int>(threadIdx.x) % kTileKeys;
  if (key < begin || key >= end || half >= n_heads) return;
  const KeyPlace place = places[key % kSpanKeys];
  const Plane plane = k_plane(p.kv, place.block, kv_head);
  float s[kHeadsPerHalf] = {};
#pragma unroll 16
  for (int d = 0; d < p.kv.head_dim; ++d) {
    const float k = load_kv<dtype>(plane, place.slot, d);
#pragma unroll
    for (int i = 0; i < kHeadsPerHalf; ++i) s[i] = fmaf(q[half + i * kHalves][d], k, s[i]);
  }
#pragma unroll
  for (int i = 0; i < kHeadsPerHalf; ++i) {
    const int head = half + i * kHalves;
    if (head < n_heads) scores[key % kTileKeys].of[head] = s[i] * p.scale;
  }
}

// Turns the scores of one head into p = exp(s - m), and joins the tile's m and l to the state. One
// warp per head.
__device__ void softmax_tile(Tile& tile, int head, int begin, int end, bool is_first,
                             Softmax& state) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int tile_begin = begin / kTileKeys * kTileKeys;
  const auto visible = [&](int i) { return tile_begin + i >= begin && tile_begin + i < end; };
  float m = tile.weights[begin - tile_begin].of[head];  // a visible key
  for (int i = lane; i < kTileKeys; i += kWarpSize) {
    if (visible(i)) m = max_or_nan(m, tile.weights[i].of[head]);
  }
  m = warp_max_or_nan(m);  // after it, every warp lane has read the scores that it needs
  float l = 0.0f;
  for (int i = lane; i < kTileKeys; i += kWarpSize) {
    if (!visible(i)) continue;
    const float probability = contract_exp(tile.weights[i].of[head] - m);
    tile.weights[i].of[head] = probability;
    l = l + probability;
  }
  const Rescale rescale = state.join(is_first, m, warp_tree_sum(l));
  if (lane == 0) tile.rescale[head] = rescale;
}

// o[d] of every head of one tile: a thread is a dim and takes the keys in ascending order. Beyond
// the end the last key is loaded again and its sum is dropped, because a branch would keep the
// loads from being in flight together.
template <DType dtype>
__device__ void weigh_values(const AttentionParams& p, const Tile& tile, const KeyPlace* places,
                             int kv_head, int d, int begin, int end, float (&o)[kHeads]) {
  for (int first = begin; first < end; first += kKeysInFlight) {
    float v[kKeysInFlight];
#pragma unroll
    for (int u = 0; u < kKeysInFlight; ++u) {
      const int key = first + u < end ? first + u : end - 1;
      const KeyPlace place = places[key % kSpanKeys];
      v[u] = load_kv<dtype>(v_plane(p.kv, place.block, kv_head), place.slot, d);
    }
    __syncwarp();  // no load crosses it, so all loads have started before the first is used
#pragma unroll
    for (int u = 0; u < kKeysInFlight; ++u) {
      const OfHeads weights = tile.weights[(first + u) % kTileKeys];
#pragma unroll
      for (int i = 0; i < kHeads; ++i) {
        const float sum = fmaf(weights.of[i], v[u], o[i]);
        o[i] = first + u < end ? sum : o[i];
      }
    }
  }
}

// Grid: span of the pass, (KV head, run of kHeads of its query heads), row of the run.
template <DType dtype>
__global__ void __launch_bounds__(kThreads) attend_span(const __grid_constant__ AttentionParams p) {
  __shared__ float q[kHeads][kMaxHeadDim];
  __shared__ KeyPlace places[kSpanKeys];
  __shared__ Tile tiles[2];  // one is written while slow threads still read the other
  const int runs_per_kv = (p.heads_per_kv + kHeads - 1) / kHeads;
  const int kv_head = static_cast<int>(blockIdx.y) / runs_per_kv;
  const int first_in_group = static_cast<int>(blockIdx.y) % runs_per_kv * kHeads;
  const int left = p.heads_per_kv - first_in_group;
  const int n_heads = left < kHeads ? left : kHeads;
  const int first_head = kv_head * p.heads_per_kv + first_in_group;
  const int run_row = static_cast<int>(blockIdx.z);
  const int row = p.first_row + run_row;
  const int span = p.first_span + static_cast<int>(blockIdx.x);
  const auto [begin, end] = clamp_keys(keys_of(p, row), span * kSpanKeys, (span + 1) * kSpanKeys);
  if (begin >= end) return;
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / kWarpSize;

  for (int i = 0; i < n_heads; ++i) {
    const float* head = p.q + row * p.q_stride + (first_head + i) * p.kv.head_dim;
    for (int d = thread; d < p.kv.head_dim; d += kThreads) q[i][d] = head[d];
  }
  find_places<kThreads>(p, table_of(p, row), begin, end, places);
  __syncthreads();  // q and the places are written
  Softmax state;    // of the head of this warp
  float o[kDims][kHeads];
  for (int first = begin, next; first < end; first = next) {
    next = (first / kTileKeys + 1) * kTileKeys;
    const int tile_end = next < end ? next : end;
    const bool is_first = first == begin;
    Tile& tile = tiles[first / kTileKeys % 2];
    score_tile<dtype>(p, q, places, kv_head, n_heads, first, tile_end, tile.weights);
    __syncthreads();  // every score is written
    if (warp < n_heads) softmax_tile(tile, warp, first, tile_end, is_first, state);
    __syncthreads();  // every p and the factors are written
#pragma unroll
    for (int j = 0; j < kDims; ++j) {
      // Warps stay whole: threads beyond the last dim repeat the work of the last one.
      const int d = thread + j * kThreads;
      if (d / kWarpSize * kWarpSize >= p.kv.head_dim) break;
      float o_tile[kHeads] = {};
      weigh_values<dtype>(p, tile, places, kv_head, d < p.kv.head_dim ? d : p.kv.head_dim - 1,
                          first, tile_end, o_tile);
#pragma unroll
      for (int i = 0; i < kHeads; ++i) {
        const Rescale rescale = tile.rescale[i];
        o[j][i] = is_first ? o_tile[i] : fmaf(o_tile[i], rescale.joining, o[j][i] * rescale.state);
      }
    }
  }

#pragma unroll
  for (int i = 0; i < kHeads; ++i) {
    if (i >= n_heads) break;
    const Partial partial = p.partial(run_row, first_head + i, span - p.first_span);
#pragma unroll
    for (int j = 0; j < kDims; ++j) {
      const int d = thread + j * kThreads;
      if (d < p.kv.head_dim) partial.o[d] = o[j][i];
    }
    if (warp == i && thread % kWarpSize == 0) {
      *partial.m = state.m;
      *partial.l = state.l;
    }
  }
}

}  // namespace

void attend_float_spans(DType dtype, const AttentionParams& p, int n_spans, cudaStream_t stream) {
  const unsigned runs = blocks_for(p.heads_per_kv, kHeads) * static_cast<unsigned>(p.kv.n_kv_heads);
  const dim3 grid(static_cast<unsigned>(n_spans), runs, static_cast<unsigned>(p.n_rows));
  for_float_kv(dtype,
               [&]<DType kDtype>() { launch(attend_span<kDtype>, grid, kThreads, stream, p); });
}

}  // namespace lockstep::cuda
