// Q8_0 GEMV (1 to 4 tokens at a time) with the bits of docs/numerics.md section 2.
//
// A panel of 16 rows is summed in chains: one chain per leaf and lane of the contract. The blocks
// of a chain lie one after another (kernels/layout/packed_layout.h). A warp takes a chain; warp
// lane half * 16 + row multiplies 16 of a block's 32 values. The integer sum of the two halves is
// exact, so only the chain's own fma has an order. The chains are then added in shared memory:
// first lanes, then leaves.
//
//   warp load j of a block's 8: | rows 0-15, values 4j..4j+3 |   64 bytes for each half
#include <cuda_fp16.h>

#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"
#include "kernels/layout/packed_layout.h"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kMaxTokens = 4;                       // tokens that share one read of the weights
constexpr int kMaxChains = kMaxLeaves * kNumLanes;  // chains of the panels of one CUDA block
constexpr int kQuantsPerLoad = 4;                   // int8 values in a word
constexpr int kLoadsPerHalf = kBlockLen / 2 / kQuantsPerLoad;
constexpr int kQuantsOffset = 2 * kPanelRows;  // the quants follow the f16 scales
static_assert(block_layout(WeightType::kQ8_0).quants == kQuantsOffset);
constexpr int kBlockBytes = static_cast<int>(block_layout(WeightType::kQ8_0).bytes);

// A trade-off by number of tokens: kDepth is the number of blocks of a chain whose loads are in
// flight together, kBlocksPerSm the number of CUDA blocks that an SM shall hold. The latter bounds
// the registers of a thread (65536 of an SM / 256 threads / 4 = 64), so it is the largest number
// that kDepth allows without a spill.
template <int kTokens>
constexpr int kDepth = kTokens == 1 ? 4 : 2;
template <int kTokens>
constexpr int kBlocksPerSm = kTokens == kMaxTokens ? 3 : 4;

struct LinearParams {
  const std::byte* weights = nullptr;
  int64_t bytes_per_panel = 0;
  int n_rows = 0, n_panels = 0, n_tokens = 0;
  int n_leaves = 0;  // leaves that this rank owns
  int n_blocks = 0;  // blocks of a leaf
  int n_lanes = 0;   // lanes of a leaf
  int warps_per_panel = 1, panels_per_block = 1;
  const int8_t* q = nullptr;  // 16-byte aligned, as is every row
  const float* scale = nullptr;
  int64_t q_stride = 0, scale_stride = 0;
  int n_subtrees = 0;
  Subtree subtrees[kMaxLeaves];  // leaves are counted from the first that this rank owns
  const float* bias = nullptr;
  float* out = nullptr;
  int64_t out_subtree_stride = 0, out_token_stride = 0;
};

// The 16 activations of a token that this half of the warp multiplies.
struct HalfBlock {
  int words[kLoadsPerHalf];
};

__device__ inline HalfBlock load_acts(const int8_t* q) {
  const int4 v = __ldg(reinterpret_cast<const int4*>(q));
  return {{v.x, v.y, v.z, v.w}};
}

// Adds the next min(n, kDepth) blocks of a chain, of which n are left. Beyond the last block or
// token the last one is loaded again and the sum of such a block is dropped, because a branch would
// keep the loads from being in flight together.
template <int kTokens>
__device__ __forceinline__ void add_blocks(const LinearParams& p, const std::byte* block,
                                           int column_block, int n, int first_token,
                                           float (&acc)[kTokens]) {
  const int thread_lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int row = thread_lane % kPanelRows;
  const int half = thread_lane / kPanelRows;
  int w[kDepth<kTokens>][kLoadsPerHalf];
  float w_scale[kDepth<kTokens>];
  HalfBlock x[kDepth<kTokens>][kTokens];
  float x_scale[kDepth<kTokens>][kTokens];
#pragma unroll
  for (int u = 0; u < kDepth<kTokens>; ++u) {
    const int i = u < n ? u : n - 1;
    const std::byte* at = block + int64_t{i} * kBlockBytes;
    const auto* scales = reinterpret_cast<const unsigned short*>(at);
    w_scale[u] = __half2float(__ushort_as_half(__ldg(scales + row)));
    const auto* words = reinterpret_cast<const int*>(at + kQuantsOffset);
#pragma unroll
    for (int j = 0; j < kLoadsPerHalf; ++j) {
      w[u][j] = __ldg(words + (half * kLoadsPerHalf + j) * kPanelRows + row);
    }
    const int column = column_block + i * p.n_lanes;
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const int64_t token = first_token + t < p.n_tokens ? first_token + t : p.n_tokens - 1;
      x[u][t] = load_acts(p.q + token * p.q_stride + column * kBlockLen +
                          half * kLoadsPerHalf * kQuantsPerLoad);
      x_scale[u][t] = __ldg(p.scale + token * p.scale_stride + column);
    }
  }
#pragma unroll
  for (int u = 0; u < kDepth<kTokens>; ++u) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      int isum = 0;
#pragma unroll
      for (int j = 0; j < kLoadsPerHalf; ++j) isum = __dp4a(w[u][j], x[u][t].words[j], isum);
      isum += __shfl_xor_sync(kAllLanes, isum, kPanelRows);
      const float sum = fmaf(w_scale[u] * x_scale[u][t], static_cast<float>(isum), acc[t]);
      acc[t] = u < n ? sum : acc[t];
    }
  }
}

// The chain of one lane of one leaf, for the row of this thread and for every token.
template <int kTokens>
__device__ __forceinline__ void sum_chain(const LinearParams& p, const std::byte* panel, int chain,
                                          int first_token, float (&acc)[kTokens]) {
  const int leaf = chain / p.n_lanes;
  const int lane = chain % p.n_lanes;
  const int n_even = p.n_blocks / p.n_lanes;  // blocks of a lane; the first n_odd have one more
  const int n_odd = p.n_blocks % p.n_lanes;
  const int n = n_even + (lane < n_odd ? 1 : 0);
  const int place = leaf * p.n_blocks + lane * n_even + (lane < n_odd ? lane : n_odd);
  const std::byte* block = panel + static_cast<int64_t>(place) * kBlockBytes;
  const int column_block = leaf * p.n_blocks + lane;
  for (int i = 0; i < n; i += kDepth<kTokens>) {
    add_blocks<kTokens>(p, block + int64_t{i} * kBlockBytes, column_block + i * p.n_lanes, n - i,
                        first_token, acc);
  }
}

// The tree of neighbours over values[0], values[stride], …, in place; the sum ends in values[0].
__device__ __forceinline__ float sum_neighbours(float* values, int n, int stride) {
  for (; n > 1; n = n / 2 + n % 2) {
    for (int i = 0; i < n / 2; ++i) {
      values[i * stride] = values[2 * i * stride] + values[(2 * i + 1) * stride];
    }
    if (n % 2 == 1) values[n / 2 * stride] = values[(n - 1) * stride];
  }
  return values[0];
}

template <int kTokens>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm<kTokens>)
    gemv(const __grid_constant__ LinearParams p) {
  // [chain of this block's panels][row][token]
  __shared__ float sums[kMaxChains * kPanelRows * kTokens];
  constexpr int kChainStride = kPanelRows * kTokens;
  const int warp = static_cast<int>(threadIdx.x / kWarpSize);
  const int thread_lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int first_panel = static_cast<int>(blockIdx.y) * p.panels_per_block;
  const int first_token = static_cast<int>(blockIdx.x) * kTokens;
  const int n_chains = p.n_leaves * p.n_lanes;

  const int my_panel = warp / p.warps_per_panel;
  if (first_panel + my_panel < p.n_panels) {
    const std::byte* panel = p.weights + (first_panel + my_panel) * p.bytes_per_panel;
    for (int chain = warp % p.warps_per_panel; chain < n_chains; chain += p.warps_per_panel) {
      float acc[kTokens] = {};
      sum_chain<kTokens>(p, panel, chain, first_token, acc);
      if (thread_lane >= kPanelRows) continue;  // both halves hold the same sums
      float* sum = sums + (my_panel * n_chains + chain) * kChainStride + thread_lane * kTokens;
#pragma unroll
      for (int t = 0; t < kTokens; ++t) sum[t] = acc[t];
    }
  }
  __syncthreads();  // every chain of every panel is summed

  for (int i = static_cast<int>(threadIdx.x); i < p.panels_per_block * kChainStride;
       i += static_cast<int>(blockDim.x)) {
    const int panel = i / kChainStride;
    const int row = (first_panel + panel) * kPanelRows + i % kChainStride / kTokens;
    const int token = first_token + i % kTokens;
    if (row >= p.n_rows || token >= p.n_tokens) continue;
    float* leaves = sums + panel * n_chains * kChainStride + i % kChainStride;
    const int leaf_stride = p.n_lanes * kChainStride;
    for (int leaf = 0; leaf < p.n_leaves; ++leaf) {
      sum_neighbours(leaves + leaf * leaf_stride, p.n_lanes, kChainStride);
    }
    for (int s = 0; s < p.n_subtrees; ++s) {
      const Subtree subtree = p.subtrees[s];
      float y = sum_neighbours(leaves + subtree.first * leaf_stride, subtree.n, leaf_stride);
      if (p.bias != nullptr) y = y + p.bias[row];
      p.out[s * p.out_subtree_stride + token * p.out_token_stride + row] = y;
    }
  }
}

// The number of warps that share a panel: as many as have a chain each.
int warps_for(int n_chains) {
  int warps = kWarps;
  while (warps > n_chains) warps /= 2;
  return warps;
}

// Adjacent CUDA blocks share a panel, which comes from the L2 cache for all but the first kTokens
// tokens. A CUDA block takes fewer panels, down to one, if SMs would be idle otherwise.
template <int kTokens>
void launch_gemv(LinearParams& p, int n_sms, cudaStream_t stream) {
  const unsigned runs = blocks_for(p.n_tokens, kTokens);
  const int64_t enough = int64_t{2} * n_sms;
  p.panels_per_block = kWarps / p.warps_per_panel;
  while (p.panels_per_block > 1 && blocks_for(p.n_panels, p.panels_per_block) * runs < enough) {
    p.panels_per_block /= 2;
  }
  launch(gemv<kTokens>, dim3(runs, blocks_for(p.n_panels, p.panels_per_block)),
         p.panels_per_block * p.warps_per_panel * kWarpSize, stream, p);
}

}  // namespace

void linear_q8_0(const LinearArgs& args, int n_sms, cudaStream_t stream) {
  const PackedWeights& weights = args.weights;
  const QuantizedActs& x = args.x.quantized;
  const LeafCut cut(weights.leaf_k());
  LinearParams p;
  p.weights = weights.data;
  CHECK(reinterpret_cast<uintptr_t>(p.weights) % sizeof(int) == 0);
  p.bytes_per_panel = panel_bytes(weights.type, weights.k);
  p.n_rows = static_cast<int>(weights.n_rows);
  p.n_panels = static_cast<int>(blocks_for(weights.n_rows, kPanelRows));
  p.n_tokens = static_cast<int>(args.out.shape[1]);
  p.n_leaves = weights.leaves.n;
  p.n_blocks = static_cast<int>(cut.n_blocks);
  p.n_lanes = cut.n_lanes;
  p.warps_per_panel = warps_for(p.n_leaves * p.n_lanes);
  p.q = static_cast<const int8_t*>(x.q.data);
  p.scale = static_cast<const float*>(x.scale.data);
  p.q_stride = x.q.row_stride;
  p.scale_stride = x.scale.row_stride;
  CHECK(reinterpret_cast<uintptr_t>(p.q) % sizeof(int4) == 0 && p.q_stride % sizeof(int4) == 0);
  for (const Subtree& s : owned_subtrees(weights.leaves)) {
    p.subtrees[p.n_subtrees++] = {s.first - weights.leaves.first, s.n};
  }
  if (args.bias) p.bias = args.bias.row<float>(0);
  p.out = static_cast<float*>(args.out.data);
  p.out_subtree_stride = args.out.row_stride;
  p.out_token_stride = args.out_token_stride != 0 ? args.out_token_stride : weights.n_rows;
  if (p.n_tokens == 1) return launch_gemv<1>(p, n_sms, stream);
  if (p.n_tokens == 2) return launch_gemv<2>(p, n_sms, stream);
  launch_gemv<kMaxTokens>(p, n_sms, stream);
}

}  // namespace lockstep::cuda
