// Residual, RMSNorm and int8 in one kernel; a CUDA block takes one row.
//   1. all threads: residual += the tree over the partials (rms_norm: nothing to add)
//   2. all warps:   the strided sum of the squares (docs/numerics.md sections 0 and 3); each warp
//                   adds chunks of 1024 values, whose 32 lanes are the warp lanes
//   3. all warps:   normalise and quantise, each warp one block of 32 values at a time
// Each step reads the row again, from the caches to which it was just written.
#include "kernels/cuda/device/launches.h"
#include "kernels/cuda/elementwise/acts_out.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kDepth = 4;              // values that a thread loads before it stores the first
constexpr int kMaxChunks = kWarpSize;  // of a row; every warp adds their sums, one per warp lane

// The partials of a tree of at most 8 leaves, indexed by the leaf at which each begins, and the
// joins of the tree that are still to be done: bit i of `joins` is join_of_leaves(i).
struct Partials {
  const float* at_leaf[kMaxLeaves] = {};  // [n_tokens, dim]; null if no partial begins there
  unsigned joins = 0;
  const float* bias = nullptr;
};

struct NormParams {
  float* residual = nullptr;  // null = x is only read
  const float* x = nullptr;
  int64_t x_stride = 0;
  int dim = 0;
  Partials partials;
  const float* weight = nullptr;
  float eps = 0.0f;
  ActsOut out;
};

// The joins of a tree of eight leaves, level by level: 01 23 45 67, 02 46, 04. The sum at leaf
// `from` is added to the sum at leaf `into`. (A function: device code cannot index a host table.)
constexpr int kNumJoins = kMaxLeaves - 1;
__host__ __device__ constexpr Join join_of_leaves(int i) {
  if (i < 4) return {2 * i, 2 * i + 1};
  if (i < 6) return {4 * (i - 4), 4 * (i - 4) + 2};
  return {0, 4};
}

__device__ float tree_sum(const Partials& partials, int64_t at) {
  float sum[kMaxLeaves];  // in registers, since the loops are unrolled
#pragma unroll
  for (int leaf = 0; leaf < kMaxLeaves; ++leaf) {
    const float* partial = partials.at_leaf[leaf];
    sum[leaf] = partial == nullptr ? 0.0f : partial[at];
  }
#pragma unroll
  for (int j = 0; j < kNumJoins; ++j) {
    const Join join = join_of_leaves(j);
    if ((partials.joins >> j & 1u) != 0) sum[join.into] = sum[join.into] + sum[join.from];
  }
  return sum[0];
}

// The compiler must assume that a store changes the value of a later load. So kDepth values are
// loaded (beyond the end, the last one again) before any of them is stored, here and in norm_row.
__device__ void add_to_residual(const NormParams& p, int64_t token) {
  float* residual = p.residual + token * p.x_stride;
  for (int first = static_cast<int>(threadIdx.x); first < p.dim; first += kThreads * kDepth) {
    float sum[kDepth];
#pragma unroll
    for (int u = 0; u < kDepth; ++u) {
      const int d = first + u * kThreads < p.dim ? first + u * kThreads : p.dim - 1;
      float y = tree_sum(p.partials, token * p.dim + d);
      if (p.partials.bias != nullptr) y = y + p.partials.bias[d];
      sum[u] = residual[d] + y;
    }
#pragma unroll
    for (int u = 0; u < kDepth; ++u) {
      if (first + u * kThreads < p.dim) residual[first + u * kThreads] = sum[u];
    }
  }
}

// Two CUDA blocks of an SM leave a thread the registers for the 32 loads of a chunk.
__global__ void __launch_bounds__(kThreads, 2) norm_row(const __grid_constant__ NormParams p) {
  const int64_t token = blockIdx.x;
  const int warp = static_cast<int>(threadIdx.x / kWarpSize);
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const float* x = p.x + token * p.x_stride;
  if (p.residual != nullptr) {
    add_to_residual(p, token);
    __syncthreads();  // x is the residual, and the whole row is written
  }

  __shared__ float chunk_sums[kMaxChunks];
  const int n_chunks = (p.dim + kSumChunk - 1) / kSumChunk;
  for (int chunk = warp; chunk < n_chunks; chunk += kWarps) {
    const int end = (chunk + 1) * kSumChunk < p.dim ? (chunk + 1) * kSumChunk : p.dim;
    float squares = 0.0f;
#pragma unroll 32
    for (int d = chunk * kSumChunk + lane; d < end; d += kWarpSize) {
      squares = fmaf(x[d], x[d], squares);
    }
    squares = warp_tree_sum(squares);
    if (lane == 0) chunk_sums[chunk] = squares;
  }
  __syncthreads();  // every sum of a chunk is written
  const float squares = warp_tree_sum(lane < n_chunks ? chunk_sums[lane] : 0.0f, n_chunks);
  const float r = 1.0f / sqrtf(squares / static_cast<float>(p.dim) + p.eps);

  for (int first = warp * kWarpSize; first < p.dim; first += kThreads * kDepth) {
    float y[kDepth];
#pragma unroll
    for (int u = 0; u < kDepth; ++u) {
      const int d = first + u * kThreads + lane;
      const int there = d < p.dim ? d : p.dim - 1;
      y[u] = d < p.dim ? (x[there] * r) * p.weight[there] : 0.0f;
    }
#pragma unroll
    for (int u = 0; u < kDepth; ++u) {
      const int block = first + u * kThreads;  // first value of the block
      if (block < p.dim) write_block(y[u], p.out, token, block / kBlockLen, p.dim);
    }
  }
}

unsigned join_bit(int into, int from) {
  int j = 0;
  while (join_of_leaves(j).into != into || join_of_leaves(j).from != from) {
    CHECK(++j < kNumJoins);  // plan_joins makes only joins of this list
  }
  return 1u << j;
}

Partials partials_of(const AddPartialsArgs& args) {
  const JoinPlan plan = plan_joins(args.layout, args.n_leaves);
  Partials partials;
  const auto leaf_of = [&](int node) {
    return args.layout[static_cast<size_t>(plan.nodes[static_cast<size_t>(node)])].first;
  };
  for (int node = 0; node < plan.n_nodes; ++node) {
    partials.at_leaf[leaf_of(node)] =
        args.partials.row<float>(plan.nodes[static_cast<size_t>(node)]);
  }
  for (int j = 0; j < plan.n_joins; ++j) {
    const Join join = plan.joins[static_cast<size_t>(j)];
    partials.joins |= join_bit(leaf_of(join.into), leaf_of(join.from));
  }
  if (args.bias) partials.bias = args.bias.row<float>(0);
  return partials;
}

void launch_norm(const NormParams& p, int64_t n_tokens, cudaStream_t stream) {
  CHECK(p.dim <= kMaxChunks * kSumChunk);
  launch(norm_row, dim3(static_cast<unsigned>(n_tokens)), kThreads, stream, p);
}

}  // namespace

void rms_norm(const RmsNormArgs& args, cudaStream_t stream) {
  NormParams p;
  p.x = static_cast<const float*>(args.x.data);
  p.x_stride = args.x.row_stride;
  p.dim = static_cast<int>(args.x.shape[1]);
  p.weight = args.weight.row<float>(0);
  p.eps = args.eps;
  p.out = acts_out(args.out);
  launch_norm(p, args.x.n_rows(), stream);
}

void add_rms_norm(const AddRmsNormArgs& args, cudaStream_t stream) {
  const View& residual = args.add.residual;
  NormParams p;
  p.residual = static_cast<float*>(residual.data);
  p.x = p.residual;
  p.x_stride = residual.row_stride;
  p.dim = static_cast<int>(residual.shape[1]);
  p.partials = partials_of(args.add);
  p.weight = args.weight.row<float>(0);
  p.eps = args.eps;
  p.out = acts_out(args.out);
  launch_norm(p, residual.n_rows(), stream);
}

}  // namespace lockstep::cuda
