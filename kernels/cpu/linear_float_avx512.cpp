#include "kernels/cpu/linear_float_tile.h"
#include "kernels/cpu/simd_avx512.h"

namespace lockstep {

TileKernel float_tile_kernel_avx512(WeightType type) {
  return float_tile_kernel<simd::Avx512, 8>(type);
}

}  // namespace lockstep
