#include "kernels/cpu/linear_float_tile.h"
#include "kernels/cpu/simd_avx2.h"

namespace lockstep {

TileKernel float_tile_kernel_avx2(WeightType type) {
  return float_tile_kernel<simd::Avx2, 4>(type);
}

}  // namespace lockstep
