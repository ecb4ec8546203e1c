// Ops whose rows are independent of each other, cut over rows.
#pragma once

#include "kernels/cpu/team/thread_team.h"
#include "kernels/ops.h"

namespace lockstep {

void quantize_portable(const QuantizeArgs& args, ThreadTeam& team);
void quantize_avx2(const QuantizeArgs& args, ThreadTeam& team);
void quantize_avx512(const QuantizeArgs& args, ThreadTeam& team);

// These ops are bound by memory, so one version serves every instruction set.
void embed_rows(const EmbedArgs& args, ThreadTeam& team);
void concat_columns_rows(const ConcatColumnsArgs& args, ThreadTeam& team);

}  // namespace lockstep
