// The functions in the tables of cpu_ops.cpp for norm, rope, attention, silu, checks and sampling:
// one per op and instruction set, and the scratch that they need. <op>.cpp cuts an op over threads.
#pragma once

#include "kernels/cpu/team/thread_team.h"
#include "kernels/ops.h"

namespace lockstep {

ScratchBytes attention_scratch_bytes(const StreamLimits& limits);
ScratchBytes elementwise_scratch_bytes(const StreamLimits& limits);
ScratchBytes sample_scratch_bytes(const StreamLimits& limits);

void rms_norm_portable(const RmsNormArgs& args, ThreadTeam& team);
void rms_norm_avx2(const RmsNormArgs& args, ThreadTeam& team);
void rms_norm_avx512(const RmsNormArgs& args, ThreadTeam& team);

void head_norm_portable(const HeadNormArgs& args, ThreadTeam& team);
void head_norm_avx2(const HeadNormArgs& args, ThreadTeam& team);
void head_norm_avx512(const HeadNormArgs& args, ThreadTeam& team);

void add_rms_norm_portable(const AddRmsNormArgs& args, ThreadTeam& team);
void add_rms_norm_avx2(const AddRmsNormArgs& args, ThreadTeam& team);
void add_rms_norm_avx512(const AddRmsNormArgs& args, ThreadTeam& team);

void silu_mul_portable(const SiluMulArgs& args, ThreadTeam& team);
void silu_mul_avx2(const SiluMulArgs& args, ThreadTeam& team);
void silu_mul_avx512(const SiluMulArgs& args, ThreadTeam& team);

void rope_store_portable(const RopeStoreArgs& args, ThreadTeam& team);
void rope_store_avx2(const RopeStoreArgs& args, ThreadTeam& team);
void rope_store_avx512(const RopeStoreArgs& args, ThreadTeam& team);

void attention_portable(const AttentionArgs& args, ThreadTeam& team);
void attention_avx2(const AttentionArgs& args, ThreadTeam& team);
void attention_avx512(const AttentionArgs& args, ThreadTeam& team);

void finite_rows_portable(const FiniteRowsArgs& args, ThreadTeam& team);
void finite_rows_avx2(const FiniteRowsArgs& args, ThreadTeam& team);
void finite_rows_avx512(const FiniteRowsArgs& args, ThreadTeam& team);

void sample_portable(const SampleArgs& args, ThreadTeam& team);
void sample_avx2(const SampleArgs& args, ThreadTeam& team);
void sample_avx512(const SampleArgs& args, ThreadTeam& team);

}  // namespace lockstep
