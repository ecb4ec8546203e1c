// Linear with quantised weights for few tokens: each warp streams the blocks of one run of chains
// of one panel (chains.cuh) from global memory to its registers, once for 8 or 16 tokens, and
// multiplies them by activations that it reads from the caches. The sums of the runs meet in shared
// memory. Lane 4g + t reads k = 8t … 8t + 7 of token g (mma.cuh leaves the order of k open), so a
// warp reads whole sectors of the activations as they lie.
//
//   warp 0: panel 0, run 0 | warp 1: panel 0, run 1 | …      CUDA block: all runs of its panels
#include "kernels/cuda/linear/linear_params.cuh"
#include "kernels/cuda/linear/weight_blocks.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 8;

// CUDA blocks that an SM shall hold, which bounds the registers of a thread: the largest number
// without a spill.
template <int kTiles>
constexpr int kBlocksPerSm = kTiles == 1 ? 3 : 2;

// What one warp lane reads next: the weights of the run, the activations of its tokens. Tokens
// beyond the last are read as the last one; nobody uses their sums.
template <WeightType kType, int kTiles>
struct Sources {
  const std::byte* block;
  const int8_t* q[kTiles];        // of token g of each tile, at the lane's first k of the block
  const float* scale[kTiles][2];  // of tokens 2t and 2t + 1 of each tile
  const float* sum[kTiles][2];
  const std::byte* header = nullptr;  // K-quants: of the first super-block of the leaf, or, where
                                      // the blocks of a chain are 16 apart, of that of the block
  unsigned in_super = 0;  // of the block, counted from the first block of that super-block

  __device__ Sources(const LinearParams& p, const std::byte* first_block, int first_token, int lane)
      : block(first_block) {
    const auto token = [&](int i) {
      const int t = first_token + i;
      return static_cast<int64_t>(t < p.n_tokens ? t : p.n_tokens - 1);
    };
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      q[i] = p.q + token(8 * i + lane / 4) * p.q_stride + lane % 4 * kFirstAct<kType>;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int64_t of_column = token(8 * i + lane % 4 * 2 + e);
        scale[i][e] = p.scale + of_column * p.scale_stride;
        if constexpr (has_min(kType)) sum[i][e] = p.sum + of_column * p.sum_stride;
      }
    }
  }

  // K-quants. weights: the panel.
  template <int kStep>
  __device__ __forceinline__ void begin_chain(const LinearParams& p, const std::byte* weights,
                                              const Chain& chain) {
    const int before = chain.leaf * p.chains.n_blocks;
    header = weights + int64_t{chain.leaf} * p.leaf_headers +
             int64_t{before} * fragment_layout(kType).bytes;
    in_super = static_cast<unsigned>((p.block_in_super + before) % kBlocksPerSuper + chain.lane);
    if constexpr (kStep % kBlocksPerSuper == 0) {
      header += in_super / kBlocksPerSuper * static_cast<unsigned>(header_bytes(kType));
    }
  }

  // The weights of block `u` of those that come next.
  template <int kStep>
  __device__ __forceinline__ LaneBlock<kType> weights_at(int u, int lane) const {
    const std::byte* at = block + u * fragment_layout(kType).bytes;
    if constexpr (!is_k_quant(kType)) {
      return {at, lane};
    } else if constexpr (kStep % kBlocksPerSuper == 0) {
      return {at, header + u * (kStep / kBlocksPerSuper) * header_bytes(kType), lane};
    } else {
      const unsigned super = (in_super + static_cast<unsigned>(u * kStep)) / kBlocksPerSuper;
      return {at, header + super * static_cast<unsigned>(header_bytes(kType)), lane};
    }
  }

  template <int kStep>
  __device__ __forceinline__ void skip_blocks(int n) {
    block += n * fragment_layout(kType).bytes;
    if constexpr (is_k_quant(kType)) {
      if constexpr (kStep % kBlocksPerSuper == 0) {
        header += n * (kStep / kBlocksPerSuper) * header_bytes(kType);
      } else {
        in_super += static_cast<unsigned>(n * kStep);
      }
    }
    skip_columns(n * kStep);
  }

  __device__ __forceinline__ void skip_columns(int n) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      q[i] += n * kBlockLen;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        scale[i][e] += n;
        if constexpr (has_min(kType)) sum[i][e] += n;
      }
    }
  }
};

// Adds the next kDepth blocks of a chain, whose loads are in flight together. kStep: columns from
// one to the next.
template <WeightType kType, int kTiles, int kStep, int kDepth>
__device__ __forceinline__ void add_blocks(Sources<kType, kTiles>& from, int lane,
                                           float (&acc)[4 * kTiles]) {
  LaneBlock<kType> w[kDepth];
  FragmentB x[kDepth][kTiles];
  float x_scale[kDepth][kTiles][2], x_sum[kDepth][kTiles][2];
#pragma unroll
  for (int u = 0; u < kDepth; ++u) {
    w[u] = from.template weights_at<kStep>(u, lane);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      x[u][i] = load_acts<kType>(from.q[i] + u * kStep * kBlockLen);
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        x_scale[u][i][e] = from.scale[i][e][u * kStep];
        if constexpr (has_min(kType)) x_sum[u][i][e] = from.sum[i][e][u * kStep];
      }
    }
  }
  from.template skip_blocks<kStep>(kDepth);
#pragma unroll
  for (int u = 0; u < kDepth; ++u) {
    const FragmentA a = w[u].fragment();
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      add_block(w[u], a, x[u][i], x_scale[u][i], x_sum[u][i], acc + 4 * i);
    }
  }
}

// The sum of a run for 16 rows and 8 * kTiles tokens. kStep: lanes of a leaf.
template <WeightType kType, int kTiles, int kStep>
__device__ __forceinline__ void sum_run(const LinearParams& p, const Run& run, int panel,
                                        int first_token, int lane, float (&acc)[4 * kTiles]) {
  constexpr int kDepth = kTiles == 1 ? 4 : 2;
  Chain chain = chain_at(p.chains, run.first_chain);
  const std::byte* weights = p.weights + panel * p.bytes_per_panel;
  Sources<kType, kTiles> from(
      p, weights + int64_t{place_of(p.chains, chain)} * fragment_layout(kType).bytes, first_token,
      lane);
  if constexpr (is_k_quant(kType)) from.block += int64_t{chain.leaf + 1} * p.leaf_headers;
  from.skip_columns(chain.column);
  PendingSums<4 * kTiles> pending;
  for (int i = 0; i < run.n_chains; ++i) {
#pragma unroll
    for (float& sum : acc) sum = 0.0f;
    if constexpr (is_k_quant(kType)) from.template begin_chain<kStep>(p, weights, chain);
    int n_left = chain.n_blocks;
#pragma unroll 1
    for (; n_left >= kDepth; n_left -= kDepth) {
      add_blocks<kType, kTiles, kStep, kDepth>(from, lane, acc);
    }
#pragma unroll 1
    for (; n_left > 0; --n_left) add_blocks<kType, kTiles, kStep, 1>(from, lane, acc);
    pending.join(i, i + 1 == run.n_chains, acc);
    const Chain next = chain_after(p.chains, chain);
    from.skip_columns(next.column - (chain.column + chain.n_blocks * kStep));
    if constexpr (is_k_quant(kType)) from.block += (next.leaf - chain.leaf) * p.leaf_headers;
    chain = next;
  }
}

template <WeightType kType, int kTiles>
__global__ void __launch_bounds__(kWarps* kWarpSize, kBlocksPerSm<kTiles>)
    skinny(const __grid_constant__ LinearParams p) {
  constexpr int kTokens = 8 * kTiles;
  __shared__ float sums[kWarps * kRunSums<kTokens>];
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int first_panel = static_cast<int>(blockIdx.y) * p.panels_per_block;
  const int first_token = static_cast<int>(blockIdx.x) * kTokens;
  const int panel = first_panel + warp / p.units_per_panel;
  const int run = warp % p.units_per_panel;
  if (panel < p.n_panels && run < p.chains.n_runs) {
    float acc[4 * kTiles];
    const Run mine = run_at(p.chains, run);
    if (p.chains.n_lanes == 1) {
      sum_run<kType, kTiles, 1>(p, mine, panel, first_token, lane, acc);
    } else {
      sum_run<kType, kTiles, kNumLanes>(p, mine, panel, first_token, lane, acc);
    }
#pragma unroll
    for (int i = 0; i < 4 * kTiles; ++i) {
      const int token = i / 4 * 8 + lane % 4 * 2 + i % 2;
      const int row = lane / 4 + i % 4 / 2 * 8;
      sums[warp * kRunSums<kTokens> + token * kSumStride + row] = acc[i];
    }
  }
  __syncthreads();  // the sums of all runs are there
  join_runs<kTokens>(p, sums, first_panel, first_token);
}

template <WeightType kType, int kTiles>
void launch_skinny(LinearParams& p, int n_sms, cudaStream_t stream) {
  const unsigned n_groups = blocks_for(p.n_tokens, 8 * kTiles);
  set_panels_per_block(p, kWarps, n_groups, n_sms);
  launch(skinny<kType, kTiles>, dim3(n_groups, blocks_for(p.n_panels, p.panels_per_block)),
         p.panels_per_block * p.units_per_panel * kWarpSize, stream, p);
}

template <WeightType kType>
void launch_type(LinearParams& p, int n_sms, cudaStream_t stream) {
  if (p.n_tokens <= 8) return launch_skinny<kType, 1>(p, n_sms, stream);
  launch_skinny<kType, 2>(p, n_sms, stream);
}

}  // namespace

void linear_skinny(const LinearArgs& args, int n_sms, cudaStream_t stream) {
  LinearParams p = linear_params(args);
  p.chains = make_at_most(args.weights, kWarps);
  switch (args.weights.type) {
    case WeightType::kQ8_0:
      return launch_type<WeightType::kQ8_0>(p, n_sms, stream);
    case WeightType::kQ4_0:
      return launch_type<WeightType::kQ4_0>(p, n_sms, stream);
    case WeightType::kQ4_1:
      return launch_type<WeightType::kQ4_1>(p, n_sms, stream);
    case WeightType::kQ5_0:
      return launch_type<WeightType::kQ5_0>(p, n_sms, stream);
    case WeightType::kQ5_1:
      return launch_type<WeightType::kQ5_1>(p, n_sms, stream);
    case WeightType::kQ4_K:
      return launch_type<WeightType::kQ4_K>(p, n_sms, stream);
    case WeightType::kQ5_K:
      return launch_type<WeightType::kQ5_K>(p, n_sms, stream);
    default:
      CHECK(args.weights.type == WeightType::kQ6_K);
      return launch_type<WeightType::kQ6_K>(p, n_sms, stream);
  }
}

}  // namespace lockstep::cuda
