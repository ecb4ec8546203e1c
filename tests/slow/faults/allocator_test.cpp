// Every call of the allocator refused in turn.
#include "tests/faults/refused_blocks.h"

namespace lockstep::testing {
namespace {

TEST(RefusedBlocks, NoBitOfAnAnswerChangesWhicheverCallItIs) { expect_no_bit_changes(1); }

}  // namespace
}  // namespace lockstep::testing
