// head_norm: a warp takes one head of one token. The head is one chunk of a strided sum
// (docs/numerics.md sections 0 and 3), whose 32 lanes are the warp lanes.
#include "kernels/cuda/device/device_math.cuh"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/launches.h"
#include "kernels/kv_layout.h"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 4;
static_assert(kMaxHeadDim <= kSumChunk);

struct HeadNormParams {
  float* x = nullptr;  // [n_tokens, n_heads, head_dim]
  int64_t x_stride = 0;
  int64_t n_rows = 0;  // n_tokens * n_heads
  int n_heads = 0;
  int head_dim = 0;
  const float* weight = nullptr;
  float eps = 0.0f;
};

__global__ void __launch_bounds__(kWarps* kWarpSize)
    head_norm_rows(const __grid_constant__ HeadNormParams p) {
  const int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize;
  if (row >= p.n_rows) return;
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  float* x = p.x + row / p.n_heads * p.x_stride + row % p.n_heads * p.head_dim;
  float squares = 0.0f;
  for (int d = lane; d < p.head_dim; d += kWarpSize) squares = fmaf(x[d], x[d], squares);
  squares = warp_tree_sum(squares);
  const float r = 1.0f / sqrtf(squares / static_cast<float>(p.head_dim) + p.eps);
  for (int d = lane; d < p.head_dim; d += kWarpSize) x[d] = (x[d] * r) * p.weight[d];
}

}  // namespace

void head_norm(const HeadNormArgs& args, cudaStream_t stream) {
  HeadNormParams p;
  p.x = static_cast<float*>(args.x.data);
  p.x_stride = args.x.row_stride;
  p.n_heads = static_cast<int>(args.x.shape[1]);
  p.head_dim = static_cast<int>(args.x.shape[2]);
  p.n_rows = args.x.n_rows() * p.n_heads;
  p.weight = args.weight.row<float>(0);
  p.eps = args.eps;
  launch(head_norm_rows, dim3(blocks_for(p.n_rows, kWarps)), kWarps * kWarpSize, stream, p);
}

}  // namespace lockstep::cuda
