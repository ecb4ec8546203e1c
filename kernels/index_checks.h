// CHECKs of what the rows of a step name: positions, slots and blocks inside the Views of
// rope_store and attention, which every back end makes before it follows them. (The sampler's are
// in sampling.h.)
#pragma once

#include "kernels/ops.h"

namespace lockstep {

// The token's position has its angles, and its slot lies in the pages.
void check_rope_row(const RopeStoreArgs& args, int64_t token);

// The row's sequence and position lie in the block tables, and every block that it reads in the
// pages. Rows are checked in order: what a row shares with the one before it is not read again.
void check_attention_row(const AttentionArgs& args, int64_t row);

}  // namespace lockstep
