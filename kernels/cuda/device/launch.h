// launch(): launches a kernel with its parameter struct and checks for errors. Shared by the CUDA
// toolkit build and the CPU emulation (tests/cuda_emulation).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/cuda_check.h"

namespace lockstep::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kMaxGridRows = 65535;  // CUDA's limit for y and z of a grid

// An empty grid launches nothing.
template <class Params>
void launch(void (*kernel)(Params), dim3 grid, int n_threads, cudaStream_t stream,
            const Params& params) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  CHECK(grid.y <= kMaxGridRows && grid.z <= kMaxGridRows);
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(n_threads));
  config.stream = stream;
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, params));
}

inline unsigned blocks_for(int64_t n, int64_t per_block) {
  return static_cast<unsigned>((n + per_block - 1) / per_block);
}

}  // namespace lockstep::cuda
