// One function per op with a CUDA kernel: the arguments of ops.h, which have passed its door,
// become a launch on a stream. They return before the device has done anything.
//
// An op lives in <op>.cu: the kernel, the plain struct of what it reads (parameters of a kernel are
// copied to the device, so Views are taken apart first), and the function that is declared here.
// tests/cuda_emulation compiles the same files for the CPU.
#pragma once

#include <cuda_runtime.h>

#include "kernels/ops.h"

namespace lockstep::cuda {

// Where attention leaves what its two kernels pass on. One per stream.
struct AttentionScratch {
  float* data = nullptr;
  int64_t n_floats = 0;
};

void rms_norm(const RmsNormArgs& args, cudaStream_t stream);
void add_rms_norm(const AddRmsNormArgs& args, cudaStream_t stream);
// n_sms: multiprocessors of the device, which a grid should fill.
void linear_q8_0(const LinearArgs& args, int n_sms, cudaStream_t stream);
void rope_store(const RopeStoreArgs& args, cudaStream_t stream);
void attention(const AttentionArgs& args, const AttentionScratch& scratch, cudaStream_t stream);

}  // namespace lockstep::cuda
