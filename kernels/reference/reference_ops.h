// The contract (docs/numerics.md) as code: one scalar function per op, on one thread, written to be
// read. The arguments have passed the checks of ops.cpp. Every other back end gives the same bits.
#pragma once

#include "kernels/ops.h"
#include "kernels/quantized_row.h"

namespace lockstep::reference {

void embed(const EmbedArgs& args);
void rms_norm(const RmsNormArgs& args);
void head_norm(const HeadNormArgs& args);
void quantize(const QuantizeArgs& args);
void linear(const LinearArgs& args);
void add_rms_norm(const AddRmsNormArgs& args);
void rope_store(const RopeStoreArgs& args);
void attention(const AttentionArgs& args);
void silu_mul(const SiluMulArgs& args);
void gather_rows(const GatherRowsArgs& args);
void concat_columns(const ConcatColumnsArgs& args);
void resolve_tokens(const ResolveTokensArgs& args);
void copy_blocks(const CopyBlocksArgs& args);
void finite_rows(const FiniteRowsArgs& args);
void sample(const SampleArgs& args);

// One row of an op whose rows are independent, for other ops and back ends to use.
void quantize_row(const float* x, int64_t n, const QuantizedRow& out);  // n a multiple of 32
void embed_token(const EmbedArgs& args, int64_t token);
void concat_row(const ConcatColumnsArgs& args, int64_t row);

}  // namespace lockstep::reference
