#include "kernels/cpu/attention/attention_impl.h"
#include "kernels/cpu/simd/simd_avx512.h"

namespace lockstep {

constinit const AttentionLoops kAttentionAvx512 = simd::attention_loops<simd::Avx512>();

}  // namespace lockstep
