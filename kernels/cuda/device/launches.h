// One function per op with a CUDA kernel. It turns the arguments of ops.h, which have passed the
// checks of ops.cpp, into a launch on a stream, and returns before the device has done the work.
//
// An op lives in a file of its room: the kernel, the plain struct of its parameters (a kernel's
// parameters are copied to the device, so the Views are taken apart first), and the function
// declared here. tests/cuda_emulation compiles the same files for the CPU.
#pragma once

#include <cuda_runtime.h>

#include "kernels/ops.h"

namespace lockstep::cuda {

// Device memory of a stream for what one kernel of an op passes to the next.
struct StreamScratch {
  float* data = nullptr;
  int64_t n_floats = 0;
};

void embed(const EmbedArgs& args, cudaStream_t stream);
void rms_norm(const RmsNormArgs& args, cudaStream_t stream);
void head_norm(const HeadNormArgs& args, cudaStream_t stream);
void quantize(const QuantizeArgs& args, cudaStream_t stream);
void add_rms_norm(const AddRmsNormArgs& args, cudaStream_t stream);
// n_sms: number of multiprocessors of the device, which a grid should fill.
void linear(const LinearArgs& args, const StreamScratch& scratch, int n_sms, cudaStream_t stream);
void rope_store(const RopeStoreArgs& args, cudaStream_t stream);
void attention(const AttentionArgs& args, const StreamScratch& scratch, cudaStream_t stream);
void silu_mul(const SiluMulArgs& args, cudaStream_t stream);
void gather_rows(const GatherRowsArgs& args, cudaStream_t stream);
void concat_columns(const ConcatColumnsArgs& args, cudaStream_t stream);
void resolve_tokens(const ResolveTokensArgs& args, cudaStream_t stream);
void copy_blocks(const CopyBlocksArgs& args, cudaStream_t stream);
void finite_rows(const FiniteRowsArgs& args, cudaStream_t stream);
void sample(const SampleArgs& args, const StreamScratch& scratch, cudaStream_t stream);
// Floats of scratch that sample() needs at least.
int64_t sample_scratch_floats(int64_t vocab_size);

}  // namespace lockstep::cuda
