#include "kernels/cpu/linear/linear_float_panel.h"
#include "kernels/cpu/simd/simd_avx512.h"

namespace lockstep {

PanelKernel float_panel_kernel_avx512(WeightType type) {
  return float_panel_kernel<simd::Avx512, 8>(type);
}

}  // namespace lockstep
