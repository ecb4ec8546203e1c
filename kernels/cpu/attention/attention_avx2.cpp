#include "kernels/cpu/attention/attention_impl.h"
#include "kernels/cpu/simd/simd_avx2.h"

namespace lockstep {

constinit const AttentionLoops kAttentionAvx2 = simd::attention_loops<simd::Avx2>();

}  // namespace lockstep
