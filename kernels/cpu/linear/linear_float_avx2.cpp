#include "kernels/cpu/linear/linear_float_panel.h"
#include "kernels/cpu/simd/simd_avx2.h"

namespace lockstep {

PanelKernel float_panel_kernel_avx2(WeightType type) {
  return float_panel_kernel<simd::Avx2, 4>(type);
}

}  // namespace lockstep
