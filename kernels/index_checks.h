// CHECKs of the positions, slots and blocks that the rows of rope_store and attention name. Every
// back end on the CPU makes these checks before it uses such an index. (sampling.h has those of
// sample().)
#pragma once

#include "kernels/ops.h"

namespace lockstep {

// CHECKs that cos_sin has the token's position and that the token's slot lies in the pages.
void check_rope_row(const RopeStoreArgs& args, int64_t token);

// CHECKs that the row's sequence and position lie in the block tables, and every block that the row
// reads in the pages. Rows must be checked in ascending order: blocks that a row shares with the
// row before it are not checked again.
void check_attention_row(const AttentionArgs& args, int64_t row);

}  // namespace lockstep
