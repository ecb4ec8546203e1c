// How `linear` is cut over tokens, panels and threads; the sums of a panel are an instruction
// set's.
#pragma once

#include "kernels/cpu/linear/linear_panel.h"
#include "kernels/cpu/team/thread_team.h"
#include "kernels/ops.h"

namespace lockstep {

void linear_portable(const LinearArgs& args, ThreadTeam& team);
void linear_avx2(const LinearArgs& args, ThreadTeam& team);
void linear_avx512(const LinearArgs& args, ThreadTeam& team);

}  // namespace lockstep
