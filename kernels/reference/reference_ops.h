// The contract (docs/numerics.md) as code: one plain scalar function per op, on one thread, written
// to be read. Arguments have passed the checks of ops.cpp. Every fast back end gives these bits.
#pragma once

#include "kernels/ops.h"
#include "kernels/quantized_row.h"

namespace lockstep::reference {

void embed(const EmbedArgs& args);
void rms_norm(const RmsNormArgs& args);
void quantize(const QuantizeArgs& args);
void linear(const LinearArgs& args);
void add_partials(const AddPartialsArgs& args);
void rope_store(const RopeStoreArgs& args);
void attention(const AttentionArgs& args);
void silu_mul(const SiluMulArgs& args);
void gather_rows(const GatherRowsArgs& args);
void concat_columns(const ConcatColumnsArgs& args);
void resolve_tokens(const ResolveTokensArgs& args);
void sample(const SampleArgs& args);

// Section 1 for one row of n values, n a multiple of 32; for ops that quantise their result.
void quantize_row(const float* x, int64_t n, const QuantizedRow& out);

}  // namespace lockstep::reference
