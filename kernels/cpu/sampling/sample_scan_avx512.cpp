#include "kernels/cpu/sampling/sample_scan_impl.h"
#include "kernels/cpu/simd/simd_avx512.h"

namespace lockstep {

constinit const SampleScan kSampleScanAvx512 = simd::Scan<simd::Avx512>::table();

}  // namespace lockstep
