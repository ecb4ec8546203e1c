// Linear with quantised weights for many tokens. Eight warps of a CUDA block compute 256 rows x 32
// tokens or 128 rows x 64 tokens, each 32 x 32 of them as 2 x 4 results of the tensor cores. A
// ninth warp copies the 32-value blocks of the run of chains (chains.cuh) to a ring in shared
// memory by cp.async, kStages - 1 blocks ahead. Where rows and tokens alone would leave SMs idle,
// the runs are spread over CUDA blocks; a second kernel then adds their sums.
//
//   step      stage 0    stage 1    stage 2    stage 3
//     0       multiply   arriving   arriving   started     one barrier a step: what was copied for
//     1       started    multiply   arriving   arriving    the step is there, and nobody reads the
//     2       arriving   started    multiply   arriving    stage of the step before any more
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/linear/linear_params.cuh"
#include "kernels/cuda/linear/weight_blocks.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kTileWarps = 8;
constexpr int kThreads = (kTileWarps + 1) * kWarpSize;
constexpr int kWarpTile = 32;  // rows, and tokens, of a warp
constexpr int kStages = 4;
constexpr int kChunk = 16;  // bytes of one copy

template <WeightType kType, int kRowWarps>
struct Shape {
  static constexpr int kPanels = kRowWarps * kWarpTile / kPanelRows;
  static constexpr int kTokens = kTileWarps / kRowWarps * kWarpTile;
  static constexpr int kBlockBytes = fragment_layout(kType).bytes;
  static constexpr int kChunksPerBlock = kBlockBytes / kChunk;
  static constexpr int kChunks = kPanels * kChunksPerBlock;
  static constexpr int kHeaderBytes = static_cast<int>(header_bytes(kType));  // of K-quants
  static constexpr int kChunksPerHeader = kHeaderBytes / kChunk;
  static constexpr int kHeaderChunks = kPanels * kChunksPerHeader;

  // One block of K: its weights, and its activations. In each 32 tokens, place 8i + c of q holds
  // column c of tile i, which is token 8 * (c / 2) + 2i + c % 2. So lane 4g + t, with columns 2t
  // and 2t + 1 of the results, needs the scales of the eight tokens from 8t on, which lie in order.
  struct alignas(kChunk) Stage {
    std::byte weights[kPanels * (kBlockBytes + kHeaderBytes)];  // the blocks, then their headers
    int8_t q[kTokens * kBlockLen];                              // [place][k]
    float scales[(has_min(kType) ? 2 : 1) * kTokens];           // and then the sums, [token]
  };
};

__device__ __forceinline__ int token_of_place(int place) {
  const int column = place % 8;
  return place / kWarpTile * kWarpTile + column / 2 * 8 + place % kWarpTile / 8 * 2 + column % 2;
}

// The warp that fills the ring: block after block of the run, in the order of the bytes of a panel.
template <class S, WeightType kType>
class Loader {
 public:
  __device__ Loader(const LinearParams& p, const Run& run, int first_panel, int first_token)
      : params_(p),
        chains_(p.chains),
        lane_(static_cast<int>(threadIdx.x) % kWarpSize),
        chain_(chain_at(p.chains, run.first_chain)) {
    int64_t first_byte = int64_t{place_of(chains_, chain_)} * S::kBlockBytes;
    if constexpr (is_k_quant(kType)) {
      first_byte += int64_t{chain_.leaf + 1} * p.leaf_headers;
      point_at_headers(p, first_panel);
    }
#pragma unroll
    for (int i = 0; i < kWeightCopies; ++i) {
      const int chunk = lane_ + i * kWarpSize;
      int panel = first_panel + chunk / S::kChunksPerBlock;
      if (panel >= p.n_panels) panel = p.n_panels - 1;  // read again; its sums are dropped
      weights_[i] =
          p.weights + panel * p.bytes_per_panel + first_byte + chunk % S::kChunksPerBlock * kChunk;
    }
    const auto token = [&](int i) {
      return static_cast<int64_t>(first_token + i < p.n_tokens ? first_token + i : p.n_tokens - 1);
    };
#pragma unroll
    for (int i = 0; i < kQCopies; ++i) {  // two lanes copy the 32 values of a token
      q_[i] = p.q + token(token_of_place((lane_ + i * kWarpSize) / 2)) * p.q_stride +
              lane_ % 2 * kChunk;
    }
#pragma unroll
    for (int i = 0; i < kScaleCopies; ++i) {
      const int64_t of_lane = token(lane_ + i * kWarpSize);
      scale_[i] = p.scale + of_lane * p.scale_stride;
      if constexpr (has_min(kType)) sum_[i] = p.sum + of_lane * p.sum_stride;
    }
  }

  // Starts the copies of the next block.
  __device__ __forceinline__ void start(typename S::Stage& stage) {
#pragma unroll
    for (int i = 0; i < kWeightCopies; ++i) {
      const int chunk = lane_ + i * kWarpSize;
      if ((i + 1) * kWarpSize <= S::kChunks || chunk < S::kChunks) {
        copy_async<kChunk>(stage.weights + chunk * kChunk, weights_[i]);
      }
      weights_[i] += S::kBlockBytes;
    }
    if constexpr (is_k_quant(kType)) start_headers(stage.weights + S::kPanels * S::kBlockBytes);
#pragma unroll
    for (int i = 0; i < kQCopies; ++i) {
      copy_async<kChunk>(stage.q + (lane_ + i * kWarpSize) * kChunk,
                         q_[i] + int64_t{chain_.column} * kBlockLen);
    }
#pragma unroll
    for (int i = 0; i < kScaleCopies; ++i) {
      float* to = stage.scales + lane_ + i * kWarpSize;
      copy_async<sizeof(float)>(to, scale_[i] + chain_.column);
      if constexpr (has_min(kType)) {
        copy_async<sizeof(float)>(to + S::kTokens, sum_[i] + chain_.column);
      }
    }
    chain_.column += chains_.n_lanes;
    if constexpr (is_k_quant(kType)) in_super_ += chains_.n_lanes;
    if (--chain_.n_blocks == 0) begin_next_chain();
  }

 private:
  __device__ __forceinline__ void begin_next_chain() {
    const int leaf = chain_.leaf;
    chain_ = chain_after(chains_, chain_);
    if constexpr (is_k_quant(kType)) {
      if (chain_.leaf != leaf) {
#pragma unroll
        for (const std::byte*& weights : weights_) weights += params_.leaf_headers;
#pragma unroll
        for (const std::byte*& header : headers_) {
          header += params_.leaf_headers + chains_.n_blocks * S::kBlockBytes;
        }
      }
      count_from_super();
    }
  }

  // K-quants: the first super-block that the leaf touches has the first header.
  __device__ __forceinline__ void count_from_super() {
    const int before = params_.block_in_super + chain_.leaf * chains_.n_blocks;
    in_super_ = static_cast<unsigned>(before % kBlocksPerSuper + chain_.lane);
  }
  __device__ void point_at_headers(const LinearParams& p, int first_panel) {
    const int64_t leaf_bytes = p.leaf_headers + int64_t{chains_.n_blocks} * S::kBlockBytes;
#pragma unroll
    for (int i = 0; i < kHeaderCopies; ++i) {
      const int chunk = lane_ + i * kWarpSize;
      int panel = first_panel + chunk / S::kChunksPerHeader;
      if (panel >= p.n_panels) panel = p.n_panels - 1;
      headers_[i] = p.weights + panel * p.bytes_per_panel + chain_.leaf * leaf_bytes +
                    chunk % S::kChunksPerHeader * kChunk;
    }
    count_from_super();
  }
  __device__ __forceinline__ void start_headers(std::byte* to) {
    const unsigned offset = in_super_ / kBlocksPerSuper * S::kHeaderBytes;
#pragma unroll
    for (int i = 0; i < kHeaderCopies; ++i) {
      const int chunk = lane_ + i * kWarpSize;
      if ((i + 1) * kWarpSize <= S::kHeaderChunks || chunk < S::kHeaderChunks) {
        copy_async<kChunk>(to + chunk * kChunk, headers_[i] + offset);
      }
    }
  }

  static constexpr int kWeightCopies = (S::kChunks + kWarpSize - 1) / kWarpSize;
  static constexpr int kQCopies = 2 * S::kTokens / kWarpSize;
  static constexpr int kScaleCopies = S::kTokens / kWarpSize;
  static constexpr int kHeaderCopies =
      is_k_quant(kType) ? (S::kHeaderChunks + kWarpSize - 1) / kWarpSize : 1;

  const LinearParams& params_;
  const Chains& chains_;
  const int lane_;
  Chain chain_;  // what is left of it
  const std::byte* weights_[kWeightCopies];
  const int8_t* q_[kQCopies];  // of column 0, as the next ones
  const float* scale_[kScaleCopies];
  const float* sum_[kScaleCopies];
  const std::byte* headers_[kHeaderCopies];  // of the leaf
  unsigned in_super_ = 0;                    // of the next block
};

// The barrier of a step. The loader and the other warps call it from loops of their own, as often
// as the run has blocks; the hardware counts the warps that have arrived.
__device__ __forceinline__ void meet() { __syncthreads(); }

template <class S, WeightType kType>
__device__ __forceinline__ LaneBlock<kType> block_at(const typename S::Stage& stage, int panel,
                                                     int lane) {
  const std::byte* block = stage.weights + panel * S::kBlockBytes;
  if constexpr (is_k_quant(kType)) {
    const std::byte* headers = stage.weights + S::kPanels * S::kBlockBytes;
    return {block, headers + panel * S::kHeaderBytes, lane};
  } else {
    return {block, lane};
  }
}

// Adds one block of K to the sums of a warp: [row tile][token tile][4].
template <class S, WeightType kType>
__device__ __forceinline__ void multiply(const typename S::Stage& stage, int row_warp,
                                         int token_warp, int lane, float (&acc)[32]) {
  struct alignas(kChunk) Eight {
    float values[8];
  };
  const float* scales = stage.scales + token_warp * kWarpTile + lane % 4 * 8;
  const Eight x_scale = *reinterpret_cast<const Eight*>(scales);
  Eight x_sum{};
  if constexpr (has_min(kType)) x_sum = *reinterpret_cast<const Eight*>(scales + S::kTokens);
  const auto acts_at = [&](int j) {
    const int place = token_warp * kWarpTile + 8 * j + lane / 4;
    return stage.q + place * kBlockLen + lane % 4 * kFirstAct<kType>;
  };
  FragmentB x[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if constexpr (kType != WeightType::kQ6_K) x[j] = load_acts<kType>(acts_at(j));
  }
#pragma unroll
  for (int m = 0; m < 2; ++m) {
    const auto w = block_at<S, kType>(stage, row_warp * 2 + m, lane);
    const FragmentA a = w.fragment();
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      // Registers are short, so activations are loaded again for the second panel.
      if constexpr (kType == WeightType::kQ6_K) x[0] = load_acts_again<kType>(acts_at(j));
      add_block(w, a, x[kType == WeightType::kQ6_K ? 0 : j], x_scale.values + 2 * j,
                x_sum.values + 2 * j, acc + 16 * m + 4 * j);
    }
  }
}

__device__ __forceinline__ int n_blocks_of(const Chains& chains, const Run& run) {
  const Chain last = chain_at(chains, run.first_chain + run.n_chains - 1);
  return place_of(chains, last) + last.n_blocks -
         place_of(chains, chain_at(chains, run.first_chain));
}

// One run of 32 * kRowWarps rows. blockIdx: (token tile, row tile, run).
template <WeightType kType, int kRowWarps>
__global__ void __launch_bounds__(kThreads, 2) tiled(const __grid_constant__ LinearParams p) {
  using S = Shape<kType, kRowWarps>;
  __shared__ typename S::Stage ring[kStages];
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int row_warp = warp % kRowWarps, token_warp = warp / kRowWarps;
  const int first_token = static_cast<int>(blockIdx.x) * S::kTokens;
  const int first_panel = static_cast<int>(blockIdx.y) * S::kPanels;
  const Run run = run_at(p.chains, static_cast<int>(blockIdx.z));

  if (warp == kTileWarps) {
    Loader<S, kType> loader(p, run, first_panel, first_token);
    const int n_blocks = n_blocks_of(p.chains, run);
    for (int b = 0; b < kStages - 1; ++b) {
      if (b < n_blocks) loader.start(ring[b]);
      commit_copies();
    }
#pragma unroll 1
    for (unsigned b = 0; b < static_cast<unsigned>(n_blocks); ++b) {
      wait_for_copies<kStages - 2>();
      meet();
      const unsigned next = b + kStages - 1;
      if (next < static_cast<unsigned>(n_blocks)) loader.start(ring[next % kStages]);
      commit_copies();
    }
    return;
  }

  float acc[32];
  PendingSums<32> pending;
  Chain chain = chain_at(p.chains, run.first_chain);
  unsigned stage = 0;
  for (int i = 0; i < run.n_chains; ++i, chain = chain_after(p.chains, chain)) {
#pragma unroll
    for (float& sum : acc) sum = 0.0f;
#pragma unroll 1
    for (int b = 0; b < chain.n_blocks; ++b) {
      meet();
      multiply<S, kType>(ring[stage], row_warp, token_warp, lane, acc);
      stage = (stage + 1) % kStages;
    }
    pending.join(i, i + 1 == run.n_chains, acc);
  }

  float* out = p.out + blockIdx.z * p.out_stride;
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const int row = (first_panel + row_warp * 2 + i / 16) * kPanelRows + lane / 4 + i % 4 / 2 * 8;
    const int token = first_token + token_warp * kWarpTile + lane % 4 * 8 + i % 16 / 4 * 2 + i % 2;
    if (row >= p.n_rows || token >= p.n_tokens) continue;
    out[token * p.out_token_stride + row] = p.bias != nullptr ? acc[i] + p.bias[row] : acc[i];
  }
}

struct JoinParams {
  const float* sums = nullptr;  // [run][token][row]
  int64_t run_stride = 0;
  int n_rows = 0, n_tokens = 0;
  Chains chains;
  const float* bias = nullptr;
  float* out = nullptr;
  int64_t out_stride = 0, out_token_stride = 0;
};

constexpr int kJoinThreads = 256;

// Adds the runs of each subtree. blockIdx: (row / kJoinThreads, token, subtree).
__global__ void join_split_runs(const __grid_constant__ JoinParams p) {
  const int64_t row = int64_t{blockIdx.x} * kJoinThreads + threadIdx.x;
  const int64_t token = blockIdx.y;
  if (row >= p.n_rows) return;
  const SubtreeRuns& subtree = p.chains.subtrees[blockIdx.z];
  const float* sums = p.sums + subtree.first_run * p.run_stride + token * p.n_rows + row;
  PendingSums<1> pending;
  float y[1] = {};
  for (int i = 0; i < subtree.n_runs; ++i) {
    y[0] = sums[i * p.run_stride];
    pending.join(i, i + 1 == subtree.n_runs, y);
  }
  if (p.bias != nullptr) y[0] = y[0] + p.bias[row];
  p.out[blockIdx.z * p.out_stride + token * p.out_token_stride + row] = y[0];
}

template <WeightType kType, int kRowWarps>
void launch_tiles(const LinearParams& p, int n_row_tiles, int n_token_tiles, cudaStream_t stream) {
  launch(tiled<kType, kRowWarps>,
         dim3(static_cast<unsigned>(n_token_tiles), static_cast<unsigned>(n_row_tiles),
              static_cast<unsigned>(p.chains.n_runs)),
         kThreads, stream, p);
}

// Tiles of one size, whatever the type.
struct TileSize {
  int n_rows, n_tokens;
  void (*launch)(const LinearParams&, int, int, cudaStream_t);
};

template <WeightType kType>
TileSize tile_size(int n_tokens) {
  if (n_tokens <= kWarpTile) return {256, 32, launch_tiles<kType, 8>};
  return {128, 64, launch_tiles<kType, 4>};
}

TileSize tile_size(WeightType type, int n_tokens) {
  switch (type) {
    case WeightType::kQ8_0:
      return tile_size<WeightType::kQ8_0>(n_tokens);
    case WeightType::kQ4_0:
      return tile_size<WeightType::kQ4_0>(n_tokens);
    case WeightType::kQ4_1:
      return tile_size<WeightType::kQ4_1>(n_tokens);
    case WeightType::kQ5_0:
      return tile_size<WeightType::kQ5_0>(n_tokens);
    case WeightType::kQ5_1:
      return tile_size<WeightType::kQ5_1>(n_tokens);
    case WeightType::kQ4_K:
      return tile_size<WeightType::kQ4_K>(n_tokens);
    case WeightType::kQ5_K:
      return tile_size<WeightType::kQ5_K>(n_tokens);
    default:
      CHECK(type == WeightType::kQ6_K);
      return tile_size<WeightType::kQ6_K>(n_tokens);
  }
}

bool is_split(const Chains& chains) { return chains.n_runs > chains.n_subtrees; }

// Tokens whose sums of all runs fit the scratch, in whole tiles.
int64_t tokens_per_pass(const Chains& chains, const LinearParams& p, const TileSize& tile,
                        const StreamScratch& scratch) {
  if (!is_split(chains)) return p.n_tokens;
  return scratch.n_floats / (int64_t{chains.n_runs} * p.n_rows) / tile.n_tokens * tile.n_tokens;
}

// The longest runs that fill the SMs, or else the shortest: one run's sums are at most 16 to join,
// and those of all runs must fit the scratch.
Chains choose_runs(const LinearArgs& args, const LinearParams& p, const TileSize& tile,
                   const StreamScratch& scratch, int n_sms) {
  const int64_t n_tiles =
      int64_t{blocks_for(p.n_rows, tile.n_rows)} * blocks_for(p.n_tokens, tile.n_tokens);
  Chains chosen = make_chains(args.weights, kMaxRunChains);
  while (chosen.chains_per_run > 1 && n_tiles * chosen.n_runs < n_sms) {
    const Chains shorter = make_chains(args.weights, chosen.chains_per_run / 2);
    for (int s = 0; s < shorter.n_subtrees; ++s) {
      if (shorter.subtrees[s].n_runs > kMaxRunChains) return chosen;
    }
    if (tokens_per_pass(shorter, p, tile, scratch) == 0) return chosen;
    chosen = shorter;
  }
  return chosen;
}

}  // namespace

bool linear_tiled(const LinearArgs& args, const StreamScratch& scratch, int n_sms,
                  cudaStream_t stream) {
  LinearParams p = linear_params(args);
  const TileSize tile = tile_size(args.weights.type, p.n_tokens);
  p.chains = choose_runs(args, p, tile, scratch, n_sms);
  const int n_row_tiles = static_cast<int>(blocks_for(p.n_rows, tile.n_rows));
  if (!is_split(p.chains)) {
    tile.launch(p, n_row_tiles, static_cast<int>(blocks_for(p.n_tokens, tile.n_tokens)), stream);
    return true;
  }
  const int64_t per_pass = tokens_per_pass(p.chains, p, tile, scratch);
  if (per_pass == 0) return false;
  JoinParams join;
  join.sums = scratch.data;
  join.n_rows = p.n_rows;
  join.chains = p.chains;
  join.bias = p.bias;
  join.out_stride = p.out_stride;
  join.out_token_stride = p.out_token_stride;
  for (int64_t first = 0; first < args.out.shape[1]; first += per_pass) {
    LinearParams pass = p;
    pass.n_tokens = static_cast<int>(std::min(per_pass, args.out.shape[1] - first));
    pass.q += first * p.q_stride;
    pass.scale += first * p.scale_stride;
    pass.sum += first * p.sum_stride;
    pass.bias = nullptr;
    pass.out = scratch.data;
    pass.out_token_stride = p.n_rows;
    pass.out_stride = join.run_stride = int64_t{pass.n_tokens} * p.n_rows;
    tile.launch(pass, n_row_tiles, static_cast<int>(blocks_for(pass.n_tokens, tile.n_tokens)),
                stream);
    join.n_tokens = pass.n_tokens;
    join.out = p.out + first * p.out_token_stride;
    launch(join_split_runs,
           dim3(blocks_for(p.n_rows, kJoinThreads), static_cast<unsigned>(pass.n_tokens),
                static_cast<unsigned>(p.chains.n_subtrees)),
           kJoinThreads, stream, join);
  }
  return true;
}

}  // namespace lockstep::cuda
