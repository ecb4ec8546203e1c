// Paged attention in strict order (docs/numerics.md section 4), in two kernels. Tiles of 64 keys
// are independent of each other, so one long sequence fills the device:
//   attend_tiles   a CUDA block takes one tile of one row and up to kHeads query heads of one KV
//                  head, and writes m, l and o of each to scratch
//   merge_tiles    a CUDA block takes one row and head, and merges its tiles in ascending order
// Scratch holds at most kMaxPassTiles tiles of a row. Longer contexts take several passes; between
// passes the merged state stays in scratch. Rows that do not fit are taken in several runs. Neither
// changes a bit.
//
// The kernels are made for steps of one row per sequence (decoding). Prefill gives the same bits,
// but reads the keys again for every row.
#include <algorithm>

#include "kernels/cuda/attention/kv_plane.cuh"
#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"

namespace lockstep::cuda {
namespace {

constexpr int kTileKeys = 64;
constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kHeads = 4;                // query heads that share one read of the keys
constexpr int kMaxPassTiles = kThreads;  // merging uses one thread per tile
constexpr int kKeysInFlight = 16;        // keys whose V a thread loads before it uses the first

// The result of one tile of one row and head, or of several merged: m, l, then o [head_dim].
struct Partial {
  float* data;
  __device__ float& m() const { return data[0]; }
  __device__ float& l() const { return data[1]; }
  __device__ float& o(int d) const { return data[2 + d]; }
};
__host__ __device__ constexpr int partial_floats(int head_dim) { return head_dim + 2; }

struct AttentionParams {
  const float* q = nullptr;
  int64_t q_stride = 0;
  const int32_t* positions = nullptr;
  const int32_t* seq_of_token = nullptr;
  const int32_t* block_tables = nullptr;
  int64_t table_stride = 0;
  int max_blocks = 0, n_seqs = 0;
  float scale = 0.0f;
  int window = 0;  // 0 = all keys
  float* out = nullptr;
  int64_t out_stride = 0;
  int n_heads = 0, heads_per_kv = 0;
  KvParams kv;

  int first_row = 0;          // first row of this run
  int first_tile = 0;         // first tile of this pass
  int n_pass_tiles = 0;       // tiles per pass
  float* partials = nullptr;  // [rows of the run, n_heads, n_pass_tiles] Partial
  float* states = nullptr;    // [rows of the run, n_heads] Partial

  __device__ Partial partial(int row, int head, int pass_tile) const {
    const int64_t i = (static_cast<int64_t>(row) * n_heads + head) * n_pass_tiles + pass_tile;
    return {partials + i * partial_floats(kv.head_dim)};
  }
  __device__ Partial state(int row, int head) const {
    const int64_t i = static_cast<int64_t>(row) * n_heads + head;
    return {states + i * partial_floats(kv.head_dim)};
  }
};

// The visible keys of one row: [begin, end), and the tiles that hold them.
struct Keys {
  int begin, end;
  __device__ int first_tile() const { return begin / kTileKeys; }
  __device__ int last_tile() const { return (end - 1) / kTileKeys; }
};

__device__ inline Keys keys_of(const AttentionParams& p, int row) {
  const int position = p.positions[row];
  device_check(position >= 0 && position / p.kv.block_size < p.max_blocks);
  const int begin = p.window == 0 || position < p.window ? 0 : position - p.window + 1;
  return {begin, position + 1};
}

// The KV block and the slot in it of a key of the row's sequence. Computed and checked once per
// key, before the loops over dims and keys, because the compiler moves no load above a check.
struct KeyPlace {
  int block, slot;
};

__device__ inline KeyPlace place_of(const AttentionParams& p, const int32_t* table, int key) {
  const int block = table[key / p.kv.block_size];
  device_check(block >= 0 && block < p.kv.n_blocks);
  return {block, key % p.kv.block_size};
}

// One value per head, side by side so that one load reads them all.
struct alignas(sizeof(float) * kHeads) OfHeads {
  float of[kHeads];
};

__device__ inline const int32_t* table_of(const AttentionParams& p, int row) {
  const int seq = p.seq_of_token[row];
  device_check(seq >= 0 && seq < p.n_seqs);
  return p.block_tables + seq * p.table_stride;
}

// The scores of the visible keys of the tile. A thread is a key; the two halves of the CUDA block
// take every other head.
template <DType dtype>
__device__ void score_tile(const AttentionParams& p, const float (*q)[kMaxHeadDim],
                           const KeyPlace* places, int kv_head, int n_heads, int begin, int end,
                           OfHeads* scores) {
  constexpr int kHalves = kThreads / kTileKeys;
  constexpr int kHeadsPerHalf = kHeads / kHalves;
  const int half = static_cast<int>(threadIdx.x) / kTileKeys;
  const int key = begin / kTileKeys * kTileKeys + static_cast<int>(threadIdx.x) % kTileKeys;
  if (key < begin || key >= end || half >= n_heads) return;
  const KeyPlace place = places[key % kTileKeys];
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

// Turns the scores of one head into p = exp(s - m) and gives the tile's m and l. One warp per head.
__device__ void softmax_tile(OfHeads* scores, int head, int begin, int end,
                             const Partial& partial) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int tile_begin = begin / kTileKeys * kTileKeys;
  const auto visible = [&](int i) { return tile_begin + i >= begin && tile_begin + i < end; };
  float m = scores[begin - tile_begin].of[head];  // a visible key
  for (int i = lane; i < kTileKeys; i += kWarpSize) {
    if (visible(i)) m = max_or_nan(m, scores[i].of[head]);
  }
  m = warp_max_or_nan(m);  // after it, every warp lane has read the scores that it needs
  float l = 0.0f;
  for (int i = lane; i < kTileKeys; i += kWarpSize) {
    if (!visible(i)) continue;
    const float probability = contract_exp(scores[i].of[head] - m);
    scores[i].of[head] = probability;
    l = l + probability;
  }
  l = warp_tree_sum(l);
  if (lane == 0) {
    partial.m() = m;
    partial.l() = l;
  }
}

// o[d] of every head: a thread is a dim and takes the keys in ascending order. Beyond the end the
// last key is loaded again and its sum is dropped, because a branch would keep the loads from being
// in flight together. For the same reason warps stay whole: threads beyond the last dim repeat the
// work of the last one.
template <DType dtype>
__device__ void weigh_values(const AttentionParams& p, const OfHeads* probabilities,
                             const KeyPlace* places, int kv_head, int n_heads, int begin, int end,
                             const Partial (&partials)[kHeads]) {
  if (static_cast<int>(threadIdx.x) / kWarpSize * kWarpSize >= p.kv.head_dim) return;
  for (int first_d = 0; first_d < p.kv.head_dim; first_d += kThreads) {
    const int d = first_d + static_cast<int>(threadIdx.x);
    const int there = d < p.kv.head_dim ? d : p.kv.head_dim - 1;
    float o[kHeads] = {};
    for (int first = begin; first < end; first += kKeysInFlight) {
      float v[kKeysInFlight];
#pragma unroll
      for (int u = 0; u < kKeysInFlight; ++u) {
        const int key = first + u < end ? first + u : end - 1;
        const KeyPlace place = places[key % kTileKeys];
        v[u] = load_kv<dtype>(v_plane(p.kv, place.block, kv_head), place.slot, there);
      }
      __syncwarp();  // no load crosses it, so all loads have started before the first is used
#pragma unroll
      for (int u = 0; u < kKeysInFlight; ++u) {
        const OfHeads probability = probabilities[(first + u) % kTileKeys];
#pragma unroll
        for (int i = 0; i < kHeads; ++i) {
          const float sum = fmaf(probability.of[i], v[u], o[i]);
          o[i] = first + u < end ? sum : o[i];
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kHeads; ++i) {
      if (i < n_heads && d < p.kv.head_dim) partials[i].o(d) = o[i];
    }
  }
}

// Grid: tile of the pass, (KV head, run of kHeads of its query heads), row of the run.
template <DType dtype>
__global__ void __launch_bounds__(kThreads)
    attend_tiles(const __grid_constant__ AttentionParams p) {
  __shared__ float q[kHeads][kMaxHeadDim];
  __shared__ OfHeads scores[kTileKeys];  // scores, then p
  __shared__ KeyPlace places[kTileKeys];
  const int runs_per_kv = (p.heads_per_kv + kHeads - 1) / kHeads;
  const int kv_head = static_cast<int>(blockIdx.y) / runs_per_kv;
  const int first_in_group = static_cast<int>(blockIdx.y) % runs_per_kv * kHeads;
  const int left = p.heads_per_kv - first_in_group;
  const int n_heads = left < kHeads ? left : kHeads;
  const int first_head = kv_head * p.heads_per_kv + first_in_group;
  const int run_row = static_cast<int>(blockIdx.z);
  const int row = p.first_row + run_row;
  const int tile = p.first_tile + static_cast<int>(blockIdx.x);

  const Keys keys = keys_of(p, row);
  if (tile < keys.first_tile() || tile > keys.last_tile()) return;
  const int32_t* table = table_of(p, row);
  const int begin = keys.begin > tile * kTileKeys ? keys.begin : tile * kTileKeys;
  const int end = keys.end < (tile + 1) * kTileKeys ? keys.end : (tile + 1) * kTileKeys;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  Partial partials[kHeads];
#pragma unroll
  for (int i = 0; i < kHeads; ++i) {
    partials[i] = p.partial(run_row, first_head + (i < n_heads ? i : 0), tile - p.first_tile);
  }

  for (int i = 0; i < n_heads; ++i) {
    const float* head = p.q + row * p.q_stride + (first_head + i) * p.kv.head_dim;
    for (int d = static_cast<int>(threadIdx.x); d < p.kv.head_dim; d += kThreads) q[i][d] = head[d];
  }
  if (const int key = begin + static_cast<int>(threadIdx.x); key < end) {
    places[key % kTileKeys] = place_of(p, table, key);
  }
  __syncthreads();  // q and the places are written
  score_tile<dtype>(p, q, places, kv_head, n_heads, begin, end, scores);
  __syncthreads();  // every score is written
  for (int i = warp; i < n_heads; i += kWarps) {
    softmax_tile(scores, i, begin, end, p.partial(run_row, first_head + i, tile - p.first_tile));
  }
  __syncthreads();  // every p is written
  weigh_values<dtype>(p, scores, places, kv_head, n_heads, begin, end, partials);
}

// The factors by which a state and a tile are scaled when they are merged.
struct Rescale {
  float state, tile;
};

// The running maxima of all tiles of a pass and the factors that follow from them. A maximum has no
// rounding, so the maxima are scanned in parallel, and only the sums are taken tile by tile. A
// thread is a tile. m_before is the maximum of the state that the first tile joins, if there is
// one. Writes rescale[0, n) and returns the maximum of all tiles.
__device__ float scan_maxima(const AttentionParams& p, int run_row, int head, int first, int n,
                             bool joins_state, float m_before, Rescale (&rescale)[kMaxPassTiles]) {
  __shared__ float m_of_warp[kWarps];
  __shared__ float m_through[kMaxPassTiles];
  const int i = static_cast<int>(threadIdx.x);
  const int lane = i % kWarpSize;
  const float m_of_tile = i < n ? p.partial(run_row, head, first - p.first_tile + i).m() : 0.0f;
  float m = i == 0 && joins_state ? max_or_nan(m_before, m_of_tile) : m_of_tile;
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const float left = __shfl_up_sync(kAllLanes, m, static_cast<unsigned>(distance));
    if (lane >= distance) m = max_or_nan(left, m);
  }
  if (lane == kWarpSize - 1) m_of_warp[i / kWarpSize] = m;
  __syncthreads();  // the maximum of every warp is written
  for (int warp = 0; warp < i / kWarpSize; ++warp) m = max_or_nan(m_of_warp[warp], m);
  m_through[i] = m;
  __syncthreads();  // the maximum of every thread is written
  if (i < n) {
    const float before = i == 0 ? m_before : m_through[i - 1];
    rescale[i] = {contract_exp(before - m), contract_exp(m_of_tile - m)};
  }
  __syncthreads();  // the factors are written
  return m_through[n - 1];
}

// Grid: head, row of the run.
__global__ void __launch_bounds__(kThreads) merge_tiles(const __grid_constant__ AttentionParams p) {
  __shared__ Rescale rescale[kMaxPassTiles];
  const int head = static_cast<int>(blockIdx.x);
  const int run_row = static_cast<int>(blockIdx.y);
  const int row = p.first_row + run_row;
  const Keys keys = keys_of(p, row);
  const int first = keys.first_tile() > p.first_tile ? keys.first_tile() : p.first_tile;
  const int end_of_pass = p.first_tile + p.n_pass_tiles;
  const int end = keys.last_tile() + 1 < end_of_pass ? keys.last_tile() + 1 : end_of_pass;
  const int n = end - first;
  if (n <= 0) return;

  // The first tile of a row is its first state.
  const bool joins_state = first > keys.first_tile();
  const Partial state =
      joins_state ? p.state(run_row, head) : p.partial(run_row, head, first - p.first_tile);
  const float m_before = state.m(), l_before = state.l();
  const float m = scan_maxima(p, run_row, head, first, n, joins_state, m_before, rescale);

  const bool is_last = end == keys.last_tile() + 1;
  for (int d = static_cast<int>(threadIdx.x); d < p.kv.head_dim; d += kThreads) {
    float l = l_before, o = state.o(d);
#pragma unroll 8
    for (int i = joins_state ? 0 : 1; i < n; ++i) {
      const Partial tile = p.partial(run_row, head, first - p.first_tile + i);
      l = fmaf(tile.l(), rescale[i].tile, l * rescale[i].state);
      o = fmaf(tile.o(d), rescale[i].tile, o * rescale[i].state);
    }
    if (is_last) {
      p.out[row * p.out_stride + head * p.kv.head_dim + d] = o * (1.0f / l);
      continue;
    }
    // Every thread has read m and l of the old state before the barriers of scan_maxima.
    const Partial kept = p.state(run_row, head);
    kept.o(d) = o;
    if (d == 0) {
      kept.m() = m;
      kept.l() = l;
    }
  }
}

AttentionParams params_of(const AttentionArgs& args) {
  AttentionParams p;
  p.q = static_cast<const float*>(args.q.data);
  p.q_stride = args.q.row_stride;
  p.positions = static_cast<const int32_t*>(args.positions.data);
  p.seq_of_token = static_cast<const int32_t*>(args.seq_of_token.data);
  p.block_tables = static_cast<const int32_t*>(args.block_tables.data);
  p.table_stride = args.block_tables.row_stride;
  p.n_seqs = static_cast<int>(args.block_tables.shape[0]);
  p.max_blocks = static_cast<int>(args.block_tables.shape[1]);
  p.scale = args.scale;
  p.window = static_cast<int>(std::min<int64_t>(args.window, INT32_MAX));
  p.out = static_cast<float*>(args.out.data);
  p.out_stride = args.out.row_stride;
  p.n_heads = static_cast<int>(args.q.shape[1]);
  p.heads_per_kv = p.n_heads / args.kv.n_kv_heads;
  p.kv = kv_params(args.kv);
  return p;
}

}  // namespace

void attention(const AttentionArgs& args, const AttentionScratch& scratch, cudaStream_t stream) {
  AttentionParams p = params_of(args);
  CHECK(p.kv.head_dim <= kMaxHeadDim);
  const int64_t n_rows = args.q.n_rows();
  if (n_rows == 0) return;
  // The host does not see the positions, so it counts as many tiles as the block tables can hold.
  const int n_tiles = (p.max_blocks * p.kv.block_size + kTileKeys - 1) / kTileKeys;
  const int64_t floats_of_tile = int64_t{p.n_heads} * partial_floats(p.kv.head_dim);
  const int64_t fits = scratch.n_floats / floats_of_tile;  // tiles of whole rows, states included
  CHECK(fits >= 2);
  // Fewer rows at once are better than more passes over each row, because a pass of few tiles is
  // two small launches.
  const int64_t tiles_wanted = std::min(n_tiles, kMaxPassTiles);
  const int64_t rows_that_fit = std::max<int64_t>(fits / (1 + tiles_wanted), 1);
  const int64_t rows_at_once = std::min<int64_t>({n_rows, rows_that_fit, kMaxGridRows});
  p.n_pass_tiles = static_cast<int>(std::min(fits / rows_at_once - 1, tiles_wanted));
  p.states = scratch.data;
  p.partials = p.states + rows_at_once * floats_of_tile;
  const unsigned runs = blocks_for(p.heads_per_kv, kHeads) * static_cast<unsigned>(p.kv.n_kv_heads);
  for (int64_t row = 0; row < n_rows; row += rows_at_once) {
    p.first_row = static_cast<int>(row);
    const auto rows = static_cast<unsigned>(std::min(rows_at_once, n_rows - row));
    for (p.first_tile = 0; p.first_tile < n_tiles; p.first_tile += p.n_pass_tiles) {
      const dim3 grid(static_cast<unsigned>(std::min(p.n_pass_tiles, n_tiles - p.first_tile)), runs,
                      rows);
      for_kv_dtype(args.kv.dtype,
                   [&]<DType dtype>() { launch(attend_tiles<dtype>, grid, kThreads, stream, p); });
      launch(merge_tiles, dim3(static_cast<unsigned>(p.n_heads), rows), kThreads, stream, p);
    }
  }
}

}  // namespace lockstep::cuda
