#include "kernels/cpu/cpu_ops.h"

#include <algorithm>

#include "kernels/cpu/elementwise/row_ops.h"
#include "kernels/cpu/linear/linear.h"
#include "kernels/cpu/simd/fast_ops.h"
#include "kernels/reference/reference_ops.h"

namespace lockstep {
namespace {

// ops.linear = alone<reference::linear>: a reference op runs on the calling thread only.
template <auto op, class Args>
void alone(const Args& args, ThreadTeam&) {
  op(args);
}

ScratchBytes no_scratch_bytes(const StreamLimits& /*limits*/) { return {}; }

// The largest scratch of any op, since one op runs at a time.
ScratchBytes portable_scratch_bytes(const StreamLimits& limits) {
  const ScratchBytes attention = attention_scratch_bytes(limits);
  const ScratchBytes elementwise = elementwise_scratch_bytes(limits);
  const ScratchBytes sample = sample_scratch_bytes(limits);
  return {std::max({attention.shared, elementwise.shared, sample.shared}),
          std::max({attention.per_thread, elementwise.per_thread, sample.per_thread})};
}

CpuOps reference_ops() {
  CpuOps ops;
  ops.scratch_bytes = no_scratch_bytes;
  ops.embed = alone<reference::embed>;
  ops.quantize = alone<reference::quantize>;
  ops.linear = alone<reference::linear>;
  ops.add_rms_norm = alone<reference::add_rms_norm>;
  ops.gather_rows = alone<reference::gather_rows>;
  ops.concat_columns = alone<reference::concat_columns>;
  ops.resolve_tokens = alone<reference::resolve_tokens>;
  ops.copy_blocks = alone<reference::copy_blocks>;
  ops.rms_norm = alone<reference::rms_norm>;
  ops.head_norm = alone<reference::head_norm>;
  ops.rope_store = alone<reference::rope_store>;
  ops.attention = alone<reference::attention>;
  ops.silu_mul = alone<reference::silu_mul>;
  ops.finite_rows = alone<reference::finite_rows>;
  ops.sample = alone<reference::sample>;
  return ops;
}

CpuOps portable_ops() {
  CpuOps ops;
  ops.scratch_bytes = portable_scratch_bytes;
  ops.embed = embed_rows;
  ops.quantize = quantize_portable;
  ops.linear = linear_portable;
  ops.gather_rows = alone<reference::gather_rows>;
  ops.concat_columns = concat_columns_rows;
  ops.resolve_tokens = alone<reference::resolve_tokens>;
  ops.copy_blocks = alone<reference::copy_blocks>;
  ops.rms_norm = rms_norm_portable;
  ops.head_norm = head_norm_portable;
  ops.add_rms_norm = add_rms_norm_portable;
  ops.rope_store = rope_store_portable;
  ops.attention = attention_portable;
  ops.silu_mul = silu_mul_portable;
  ops.finite_rows = finite_rows_portable;
  ops.sample = sample_portable;
  return ops;
}

CpuOps avx2_ops() {
  CpuOps ops = portable_ops();
  ops.quantize = quantize_avx2;
  ops.linear = linear_avx2;
  ops.rms_norm = rms_norm_avx2;
  ops.head_norm = head_norm_avx2;
  ops.add_rms_norm = add_rms_norm_avx2;
  ops.rope_store = rope_store_avx2;
  ops.attention = attention_avx2;
  ops.silu_mul = silu_mul_avx2;
  ops.finite_rows = finite_rows_avx2;
  ops.sample = sample_avx2;
  return ops;
}

CpuOps avx512_ops() {
  CpuOps ops = avx2_ops();
  ops.quantize = quantize_avx512;
  ops.linear = linear_avx512;
  ops.rms_norm = rms_norm_avx512;
  ops.head_norm = head_norm_avx512;
  ops.add_rms_norm = add_rms_norm_avx512;
  ops.rope_store = rope_store_avx512;
  ops.attention = attention_avx512;
  ops.silu_mul = silu_mul_avx512;
  ops.finite_rows = finite_rows_avx512;
  ops.sample = sample_avx512;
  return ops;
}

}  // namespace

const CpuOps& cpu_ops(Isa isa) {
  static const CpuOps reference = reference_ops();
  static const CpuOps portable = portable_ops();
  static const CpuOps avx2 = avx2_ops();
  static const CpuOps avx512 = avx512_ops();
  switch (isa) {
    case Isa::kReference:
      return reference;
    case Isa::kPortable:
      return portable;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512Vnni:
      return avx512;
  }
  return reference;
}

}  // namespace lockstep
