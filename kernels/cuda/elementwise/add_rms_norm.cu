// Residual, RMSNorm and int8 in one kernel; a CUDA block takes one row.
//   1. all threads: residual += the tree over the partials (rms_norm: nothing to add)
//   2. one warp:    the sum of squares in 32 lanes, one per warp lane (docs/numerics.md section 3)
//   3. all warps:   normalise and quantise, each warp one block of 32 values at a time
// Each step reads the row again, from the caches to which it was just written.
#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"

namespace lockstep::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kDepth = 4;  // values that a thread loads before it stores the first

// The destination of int8 activations; q is null if they are not wanted.
struct QuantizedOut {
  int8_t* q = nullptr;
  float* scale = nullptr;
  float* sum = nullptr;
  int32_t* q_sum = nullptr;
  int64_t q_stride = 0, scale_stride = 0, sum_stride = 0, q_sum_stride = 0;
};

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
  float* out = nullptr;
  int64_t out_stride = 0;
  QuantizedOut quantized;
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

// docs/numerics.md section 1, on 32 values, one per warp lane.
__device__ void quantize_block(float x, const QuantizedOut& out, int64_t token, int block) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const float size = fabsf(x);
  const bool finite = size <= 0x1.fffffep127f;
  const bool broken = __any_sync(kAllLanes, finite ? 0 : 1) != 0;
  const float amax = warp_max_or_nan(size);
  const bool zeros = broken || amax < 0x1p-96f;
  const float scale = broken ? __int_as_float(0x7fc00000) : zeros ? 0.0f : amax / 127.0f;
  const int q = zeros ? 0 : static_cast<int>(rintf(x * (127.0f / amax)));
  const int q_sum = warp_sum(q);
  out.q[token * out.q_stride + block * kBlockLen + lane] = static_cast<int8_t>(q);
  if (lane == 0) {
    out.scale[token * out.scale_stride + block] = scale;
    out.q_sum[token * out.q_sum_stride + block] = q_sum;
    out.sum[token * out.sum_stride + block] = scale * static_cast<float>(q_sum);
  }
}

__global__ void __launch_bounds__(kThreads) norm_row(const __grid_constant__ NormParams p) {
  const int64_t token = blockIdx.x;
  const int warp = static_cast<int>(threadIdx.x / kWarpSize);
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const float* x = p.x + token * p.x_stride;
  if (p.residual != nullptr) {
    add_to_residual(p, token);
    __syncthreads();  // x is the residual, and the whole row is written
  }

  __shared__ float inverse_rms;
  if (warp == 0) {
    float squares = 0.0f;
#pragma unroll 32
    for (int d = lane; d < p.dim; d += kWarpSize) squares = fmaf(x[d], x[d], squares);
    const float mean = warp_tree_sum(squares) / static_cast<float>(p.dim);
    if (lane == 0) inverse_rms = 1.0f / sqrtf(mean + p.eps);
  }
  __syncthreads();  // inverse_rms is written
  const float r = inverse_rms;

  for (int first = warp * kWarpSize; first < p.dim; first += kThreads * kDepth) {
    float y[kDepth];
#pragma unroll
    for (int u = 0; u < kDepth; ++u) {
      const int d = first + u * kThreads + lane;
      const int there = d < p.dim ? d : p.dim - 1;
      y[u] = (x[there] * r) * p.weight[there];
    }
#pragma unroll
    for (int u = 0; u < kDepth; ++u) {
      const int block = first + u * kThreads;  // first value of the block
      const int d = block + lane;
      if (block >= p.dim) break;
      if (p.out != nullptr && d < p.dim) p.out[token * p.out_stride + d] = y[u];
      if (p.quantized.q == nullptr) continue;
      quantize_block(d < p.dim ? y[u] : 0.0f, p.quantized, token, block / kBlockLen);
    }
  }
}

void set_outputs(const View& weight, float eps, const Acts& out, NormParams& p) {
  p.weight = weight.row<float>(0);
  p.eps = eps;
  p.out = static_cast<float*>(out.f32.data);
  p.out_stride = out.f32.row_stride;
  const QuantizedActs& q = out.quantized;
  p.quantized = {static_cast<int8_t*>(q.q.data),
                 static_cast<float*>(q.scale.data),
                 static_cast<float*>(q.sum.data),
                 static_cast<int32_t*>(q.q_sum.data),
                 q.q.row_stride,
                 q.scale.row_stride,
                 q.sum.row_stride,
                 q.q_sum.row_stride};
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

}  // namespace

void rms_norm(const RmsNormArgs& args, cudaStream_t stream) {
  NormParams p;
  p.x = static_cast<const float*>(args.x.data);
  p.x_stride = args.x.row_stride;
  p.dim = static_cast<int>(args.x.shape[1]);
  set_outputs(args.weight, args.eps, args.out, p);
  launch(norm_row, dim3(static_cast<unsigned>(args.x.n_rows())), kThreads, stream, p);
}

void add_rms_norm(const AddRmsNormArgs& args, cudaStream_t stream) {
  const View& residual = args.add.residual;
  NormParams p;
  p.residual = static_cast<float*>(residual.data);
  p.x = p.residual;
  p.x_stride = residual.row_stride;
  p.dim = static_cast<int>(residual.shape[1]);
  p.partials = partials_of(args.add);
  set_outputs(args.weight, args.eps, args.out, p);
  launch(norm_row, dim3(static_cast<unsigned>(residual.n_rows())), kThreads, stream, p);
}

}  // namespace lockstep::cuda
