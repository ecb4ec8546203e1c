// quantize and silu_mul: the ops that compute a row of activations value by value. A warp takes
// kBlocksPerWarp blocks of 32 values, and loads all of them before it writes the first.
#include "kernels/cuda/device/launches.h"
#include "kernels/cuda/elementwise/acts_out.cuh"

namespace lockstep::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kBlocksPerWarp = 4;

struct QuantizeParams {
  const float* x = nullptr;
  int64_t x_stride = 0;
  int dim = 0;
  ActsOut out;

  __device__ float value(int64_t token, int d) const { return x[token * x_stride + d]; }
};

struct SiluMulParams {
  const float* gate = nullptr;
  const float* up = nullptr;
  int64_t gate_stride = 0, up_stride = 0;
  int dim = 0;
  ActsOut out;

  __device__ float value(int64_t token, int d) const {
    const float x = gate[token * gate_stride + d];
    return x / (1.0f + contract_exp(-x)) * up[token * up_stride + d];
  }
};

// Grid: token, run of kWarps * kBlocksPerWarp blocks.
template <class Params>
__global__ void __launch_bounds__(kThreads) map_rows(const __grid_constant__ Params p) {
  const int64_t token = blockIdx.x;
  const int warp = static_cast<int>(blockIdx.y * kWarps + threadIdx.x / kWarpSize);
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int first = warp * kBlocksPerWarp;
  float y[kBlocksPerWarp];
#pragma unroll
  for (int u = 0; u < kBlocksPerWarp; ++u) {
    const int d = (first + u) * kBlockLen + lane;
    y[u] = d < p.dim ? p.value(token, d) : 0.0f;
  }
#pragma unroll
  for (int u = 0; u < kBlocksPerWarp; ++u) {
    if ((first + u) * kBlockLen < p.dim) write_block(y[u], p.out, token, first + u, p.dim);
  }
}

template <class Params>
void launch_rows(const Params& p, int64_t n_tokens, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(n_tokens),
                  blocks_for(p.dim, kWarps * kBlocksPerWarp * kBlockLen));
  launch(map_rows<Params>, grid, kThreads, stream, p);
}

}  // namespace

void quantize(const QuantizeArgs& args, cudaStream_t stream) {
  QuantizeParams p;
  p.x = static_cast<const float*>(args.x.data);
  p.x_stride = args.x.row_stride;
  p.dim = static_cast<int>(args.x.shape[1]);
  p.out = acts_out({.f32 = {}, .quantized = args.out});
  launch_rows(p, args.x.n_rows(), stream);
}

void silu_mul(const SiluMulArgs& args, cudaStream_t stream) {
  SiluMulParams p;
  p.gate = static_cast<const float*>(args.gate.data);
  p.up = static_cast<const float*>(args.up.data);
  p.gate_stride = args.gate.row_stride;
  p.up_stride = args.up.row_stride;
  p.dim = static_cast<int>(args.gate.shape[1]);
  p.out = acts_out(args.out);
  launch_rows(p, args.gate.n_rows(), stream);
}

}  // namespace lockstep::cuda
