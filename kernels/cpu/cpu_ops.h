// CpuOps: a table with one function per op; there is one table per instruction set. A CpuStream is
// a table and a ThreadTeam.
//
// Where an op lives (<room>: attention, linear, elementwise, sampling)
//   kernels/reference/<op>.cpp          the contract in scalar code, declared in reference_ops.h
//   kernels/cpu/<room>/<op>.cpp         the cut of the op over threads, and portable code
//   kernels/cpu/<room>/<op>_avx2.cpp    inner loops compiled with -mavx2 -mfma -mf16c
//   kernels/cpu/<room>/<op>_avx512.cpp  inner loops compiled with AVX-512 F, BW, DQ, VL, VNNI
//   kernels/cpu/cpu_ops.cpp             the tables: one line per op and instruction set
//
// A table starts as a copy of the next simpler one (avx512 <- avx2 <- portable), so an op without a
// version of its own uses the simpler one.
//
// The machine that runs the program may not have the instructions that a *_avx2 or *_avx512 file is
// compiled for. So whatever such a file defines has a name of its own or internal linkage, and it
// calls no inline function of a shared header: the linker keeps one copy of an inline function, and
// must not keep the one of such a file. These files work on plain pointers and structs; Views,
// CHECKs and the team stay in <op>.cpp.
#pragma once

#include "kernels/cpu/team/thread_team.h"
#include "kernels/ops.h"

namespace lockstep {

struct CpuOps {
  template <class Args>
  using Op = void (*)(const Args&, ThreadTeam&);

  // The scratch that the ops need from the team.
  ScratchBytes (*scratch_bytes)(const StreamLimits& limits) = nullptr;

  Op<EmbedArgs> embed = nullptr;
  Op<RmsNormArgs> rms_norm = nullptr;
  Op<HeadNormArgs> head_norm = nullptr;
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

// The table of one instruction set. The machine need not have the instruction set; running an op of
// the table needs it.
const CpuOps& cpu_ops(Isa isa);

}  // namespace lockstep
