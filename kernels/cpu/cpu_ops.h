// CpuOps: one function per op, one table per instruction set. A CpuStream is a table and a team.
//
// Where an op lives
//   kernels/reference/<op>.cpp       the contract in scalar code, declared in reference_ops.h
//   kernels/cpu/<op>.cpp             how the op is cut over tiles and threads, and portable code
//   kernels/cpu/<op>_avx2.cpp        inner loops compiled with -mavx2 -mfma -mf16c
//   kernels/cpu/<op>_avx512.cpp      inner loops compiled with AVX-512 F, BW, DQ, VL, VNNI
//   kernels/cpu/cpu_ops.cpp          the tables: one line per op and instruction set
//
// A table starts as a copy of the next simpler one (avx512 <- avx2 <- portable), so an op without a
// version of its own falls back.
//
// The *_avx2 and *_avx512 files are compiled for machines that may not be this one. What they
// define has names of its own or internal linkage, and they call no inline function of a shared
// header: the linker keeps one copy of those, and must not keep theirs. They work on plain pointers
// and structs; Views, CHECKs and the team stay in <op>.cpp.
#pragma once

#include "kernels/cpu/team/thread_team.h"
#include "kernels/ops.h"

namespace lockstep {

struct CpuOps {
  template <class Args>
  using Op = void (*)(const Args&, ThreadTeam&);

  // What scratch the ops need of the team.
  ScratchBytes (*scratch_bytes)(const StreamLimits& limits) = nullptr;

  Op<EmbedArgs> embed = nullptr;
  Op<RmsNormArgs> rms_norm = nullptr;
  Op<QuantizeArgs> quantize = nullptr;
  Op<LinearArgs> linear = nullptr;
  Op<AddRmsNormArgs> add_rms_norm = nullptr;
  Op<RopeStoreArgs> rope_store = nullptr;
  Op<AttentionArgs> attention = nullptr;
  Op<SiluMulArgs> silu_mul = nullptr;
  Op<GatherRowsArgs> gather_rows = nullptr;
  Op<ConcatColumnsArgs> concat_columns = nullptr;
  Op<ResolveTokensArgs> resolve_tokens = nullptr;
  Op<CopyBlocksArgs> copy_blocks = nullptr;
  Op<FiniteRowsArgs> finite_rows = nullptr;
  Op<SampleArgs> sample = nullptr;
};

// The table of one instruction set. The machine need not have it for the table to be looked at.
const CpuOps& cpu_ops(Isa isa);

}  // namespace lockstep
