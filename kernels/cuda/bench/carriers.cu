#include <cuda_fp16.h>

#include "kernels/cuda/bench/carriers.h"
#include "kernels/cuda/bench/cuda_stream_of.h"
#include "kernels/cuda/device/export.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/mma.cuh"

namespace lockstep {
namespace gpu_bench {
namespace {

constexpr int kWarpsPerBlock = 4;

struct Params {
  CarrierCase numbers;
  int n_warps, n_tiles;
  CarrierCounts* counts;
};

// Two matrices of random whole numbers, of which every lane can compute every element.
struct Factors {
  CarrierCase numbers;
  uint64_t tile;

  __device__ static uint32_t hash(uint64_t x) {
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdull;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ull;
    return static_cast<uint32_t>(x ^ x >> 33);
  }
  __device__ static int pick(uint32_t bits, int low, int high) {
    return low + static_cast<int>(bits % static_cast<uint32_t>(high - low + 1));
  }
  __device__ int a(int row, int k) const {
    const uint32_t bits = hash(numbers.seed + (tile << 16) + static_cast<uint64_t>(k * 16 + row));
    return pick(bits, numbers.a_low, numbers.a_high);
  }
  __device__ int b(int k, int column) const {
    const uint32_t bits =
        hash(~numbers.seed - (tile << 16) - static_cast<uint64_t>(k * 16 + column));
    return pick(bits, numbers.b_low, numbers.b_high);
  }
};

__device__ uint32_t two_halves(int low, int high) {
  const auto bits = [](int x) -> uint32_t {
    return __half_as_ushort(__float2half_rn(static_cast<float>(x)));
  };
  return bits(low) | bits(high) << 16;
}

__device__ void sum_as_f16(const Factors& x, int k, int group, int lane_in_group, float (&d)[4]) {
  const int first = k + 2 * lane_in_group;
  cuda::FragmentA a;
  cuda::FragmentB b;
  for (int word = 0; word < 4; ++word) {
    const int row = group + word % 2 * 8, at = first + word / 2 * 8;
    a.words[word] = two_halves(x.a(row, at), x.a(row, at + 1));
  }
  for (int word = 0; word < 2; ++word) {
    const int at = first + word * 8;
    b.words[word] = two_halves(x.b(at, group), x.b(at + 1, group));
  }
  cuda::mma_f16(d, a, b);
}

__device__ void sum_as_bytes(const Factors& x, int k, int group, int lane_in_group, int (&d)[4]) {
  const int first = k + 4 * lane_in_group;
  cuda::FragmentA a{};
  cuda::FragmentB b{};
  for (int i = 0; i < 4; ++i) {
    for (int word = 0; word < 4; ++word) {
      const int factor = x.a(group + word % 2 * 8, first + i + word / 2 * 16);
      a.words[word] |= static_cast<uint32_t>(factor & 255) << 8 * i;
    }
    for (int word = 0; word < 2; ++word) {
      b.words[word] |= static_cast<uint32_t>(x.b(first + i + word * 16, group) & 255) << 8 * i;
    }
  }
  int sums[4];
  cuda::mma_s8(sums, a, b, 0);
  for (int i = 0; i < 4; ++i) d[i] += sums[i];
}

__global__ void carriers_kernel(const Params p) {
  const int warp = static_cast<int>(blockIdx.x * kWarpsPerBlock + threadIdx.x / 32);
  if (warp >= p.n_warps) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int group = lane / 4, lane_in_group = lane % 4;
  int wrong_f16 = 0, wrong_bytes = 0;
  for (int i = 0; i < p.n_tiles; ++i) {
    const Factors x{p.numbers, static_cast<uint64_t>(warp) * p.n_tiles + i};
    int exact[4] = {}, bytes[4] = {};
    float f16[4] = {};
    for (int k = 0; k < p.numbers.n_products; k += 16) {
      sum_as_f16(x, k, group, lane_in_group, f16);
      if (p.numbers.bytes && k % 32 == 0) sum_as_bytes(x, k, group, lane_in_group, bytes);
    }
    for (int k = 0; k < p.numbers.n_products; ++k) {
      for (int j = 0; j < 4; ++j) {
        exact[j] += x.a(group + j / 2 * 8, k) * x.b(k, 2 * lane_in_group + j % 2);
      }
    }
    for (int j = 0; j < 4; ++j) {
      wrong_f16 += f16[j] != static_cast<float>(exact[j]);
      wrong_bytes += p.numbers.bytes && bytes[j] != exact[j];
    }
  }
  for (int half = 16; half > 0; half /= 2) {
    wrong_f16 += __shfl_xor_sync(~0u, wrong_f16, half);
    wrong_bytes += __shfl_xor_sync(~0u, wrong_bytes, half);
  }
  if (lane == 0) p.counts[warp] = {wrong_f16, wrong_bytes};
}

}  // namespace
}  // namespace gpu_bench

using namespace gpu_bench;

LOCKSTEP_EXPORT CudaCarriers lockstep_cuda_carriers;

void lockstep_cuda_carriers(Stream& stream, const CarrierCase& numbers, int n_warps, int n_tiles,
                            CarrierCounts* counts) {
  CHECK(numbers.n_products % 32 == 0);
  cuda::launch(carriers_kernel, dim3(cuda::blocks_for(n_warps, kWarpsPerBlock)),
               kWarpsPerBlock * 32, cuda::cuda_stream_of(stream),
               Params{numbers, n_warps, n_tiles, counts});
}

}  // namespace lockstep
