// The cut of `linear` over tokens, panels and threads. The sums of a panel are computed by the
// kernel of an instruction set (linear_panel.h).
#pragma once

#include "kernels/cpu/linear/linear_panel.h"
#include "kernels/cpu/team/thread_team.h"
#include "kernels/ops.h"

namespace lockstep {

void linear_portable(const LinearArgs& args, ThreadTeam& team);
void linear_avx2(const LinearArgs& args, ThreadTeam& team);
void linear_avx512(const LinearArgs& args, ThreadTeam& team);

}  // namespace lockstep
