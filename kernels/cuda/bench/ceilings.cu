#include "kernels/cuda/bench/ceilings.h"
#include "kernels/cuda/bench/cuda_stream_of.h"
#include "kernels/cuda/device/export.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/mma.cuh"

namespace lockstep {
namespace gpu_bench {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocksPerSm = 8;
constexpr int kChains = 8;  // independent sums of a warp lane, which hide an instruction's latency
constexpr int kLoads = 4;   // of 16 bytes, under way in a thread

struct Params {
  const int4* data;
  int64_t n;  // int4s
  int n_rounds;
  float* never;  // of what no kernel computes: without it the compiler would drop the work
};

constexpr float kNever = 12345.678f;

__global__ void __launch_bounds__(kThreads) read_kernel(const Params p) {
  int all = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  for (; at + (kLoads - 1) * step < p.n; at += kLoads * step) {
    int4 loaded[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) loaded[i] = __ldg(p.data + at + i * step);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) all ^= loaded[i].x ^ loaded[i].y ^ loaded[i].z ^ loaded[i].w;
  }
  for (; at < p.n; at += step) all ^= p.data[at].x ^ p.data[at].w;
  if (all == 0x12345678) p.never[0] = 1.0f;
}

__global__ void __launch_bounds__(kThreads) fma_kernel(const Params p) {
  float sums[kChains];
  const float factor = 1.0f + static_cast<float>(p.data[0].x & 1) * 1e-6f;
#pragma unroll
  for (int i = 0; i < kChains; ++i) sums[i] = static_cast<float>(threadIdx.x + i);
  for (int round = 0; round < p.n_rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) sums[i] = fmaf(sums[i], factor, 0.5f);
  }
  float all = 0.0f;
#pragma unroll
  for (int i = 0; i < kChains; ++i) all += sums[i];
  if (all == kNever) p.never[0] = all;
}

// Four signed bytes or two f16 values, which are whole numbers.
template <bool kBytes>
__device__ __forceinline__ uint32_t whole_numbers(uint32_t bits) {
  // f16: sign, exponent of 16, and the four bits of the fraction that are 8, 4, 2 and 1.
  return kBytes ? bits : (bits & 0x83c083c0u) | 0x4c004c00u;
}

// Products of 16 x 32 and 32 x 8 matrices. kScaled: as linear() uses them.
template <bool kBytes, bool kScaled>
__global__ void __launch_bounds__(kThreads) mma_kernel(const Params p) {
  cuda::FragmentA a[2];
  cuda::FragmentB b[2];
  const int4 loaded = p.data[threadIdx.x % 32];
  const uint32_t bits[4] = {static_cast<uint32_t>(loaded.x), static_cast<uint32_t>(loaded.y),
                            static_cast<uint32_t>(loaded.z), static_cast<uint32_t>(loaded.w)};
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 4; ++j) a[i].words[j] = whole_numbers<kBytes>(bits[j] + i);
    for (int j = 0; j < 2; ++j) b[i].words[j] = whole_numbers<kBytes>(bits[j + i]);
  }
  float sums[kChains / 2][4] = {};
  int whole_sums[kChains / 2][4] = {};
  const float scale = static_cast<float>(bits[0] & 7);
  for (int round = 0; round < p.n_rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kChains / 2; ++i) {
      // Other operands each time, so that no product can be computed once for all.
      a[0].words[0] ^= static_cast<uint32_t>(round + i) << 6 & 0x03c003c0u;
      if constexpr (kBytes) {
        int d[4];
        cuda::mma_s8(d, a[0], b[i % 2], 0);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if constexpr (kScaled) {
            sums[i][j] =
                fmaf(scale * static_cast<float>(i + j), static_cast<float>(d[j]), sums[i][j]);
          } else {
            whole_sums[i][j] += d[j];
          }
        }
      } else {
        float d[4] = {};
        float(&to)[4] = kScaled ? d : sums[i];
        cuda::mma_f16(to, a[0], b[i % 2]);
        cuda::mma_f16(to, a[1], b[i % 2]);
        if constexpr (kScaled) {
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            sums[i][j] = fmaf(scale * static_cast<float>(i + j), d[j], sums[i][j]);
          }
        }
      }
    }
  }
  float all = 0.0f;
#pragma unroll
  for (int i = 0; i < kChains / 2; ++i) {
    for (int j = 0; j < 4; ++j) all += sums[i][j] + static_cast<float>(whole_sums[i][j]);
  }
  if (all == kNever) p.never[0] = all;
}

__global__ void empty_kernel(const Params /*p*/) {}

constexpr double kOpsOfTile = 2.0 * 16 * 8 * 32;

}  // namespace
}  // namespace gpu_bench

using namespace gpu_bench;

LOCKSTEP_EXPORT CudaCeiling lockstep_cuda_ceiling;

double lockstep_cuda_ceiling(Stream& stream, Ceiling what, const CeilingArgs& args) {
  const auto n_blocks = static_cast<unsigned>(args.n_sms * kBlocksPerSm);
  const double n_warps = double(n_blocks) * kThreads / 32;
  const Params params{reinterpret_cast<const int4*>(args.data),
                      args.n_bytes / int64_t{sizeof(int4)}, args.n_rounds,
                      reinterpret_cast<float*>(args.data)};
  const auto launch = [&](void (*kernel)(Params), unsigned grid, int n_threads) {
    cuda::launch(kernel, dim3(grid), n_threads, cuda::cuda_stream_of(stream), params);
  };
  switch (what) {
    case Ceiling::kRead:
      launch(read_kernel, n_blocks, kThreads);
      return double(args.n_bytes);
    case Ceiling::kFma:
      launch(fma_kernel, n_blocks, kThreads);
      return 2.0 * n_warps * 32 * kChains * args.n_rounds;
    case Ceiling::kMmaBytes:
      launch(mma_kernel<true, false>, n_blocks, kThreads);
      break;
    case Ceiling::kMmaF16:
      launch(mma_kernel<false, false>, n_blocks, kThreads);
      break;
    case Ceiling::kLinearBytes:
      launch(mma_kernel<true, true>, n_blocks, kThreads);
      break;
    case Ceiling::kLinearF16:
      launch(mma_kernel<false, true>, n_blocks, kThreads);
      break;
    case Ceiling::kEmptyLaunches:
      launch(empty_kernel, 1, 32);
      return 1.0;
  }
  return kOpsOfTile * n_warps * (kChains / 2) * args.n_rounds;
}

}  // namespace lockstep
