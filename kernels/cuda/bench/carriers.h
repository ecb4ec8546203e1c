// Export of the module for deploy/gpu_check.sh: whether tensor cores sum whole numbers exactly,
// carried as signed bytes and as f16 (kernels/cuda/device/mma.cuh), in random and extreme sums.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace lockstep {

struct CarrierCase {
  int a_low = 0, a_high = 0;  // factors of the one matrix, uniform, both ends included
  int b_low = 0, b_high = 0;  // of the other one
  int n_products = 32;        // in a sum, a multiple of 32
  bool bytes = false;         // sums by signed bytes, too; the factors must fit them
  uint64_t seed = 0;
};

// Tiles of 16 x 8 sums, of which each of n_warps warps makes n_tiles. For every warp, the number of
// wrong sums of each carrier.
struct CarrierCounts {
  int32_t f16 = 0, bytes = 0;
};

// "lockstep_cuda_carriers": counts on the stream. counts: [n_warps] in device memory.
using CudaCarriers = void(Stream& stream, const CarrierCase& numbers, int n_warps, int n_tiles,
                          CarrierCounts* counts);

}  // namespace lockstep
