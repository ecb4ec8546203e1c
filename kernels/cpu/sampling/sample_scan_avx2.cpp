#include "kernels/cpu/sampling/sample_scan_impl.h"
#include "kernels/cpu/simd/simd_avx2.h"

namespace lockstep {

constinit const SampleScan kSampleScanAvx2 = simd::Scan<simd::Avx2>::table();

}  // namespace lockstep
