// The engine's invariants, numbered as in docs/engine.md. The block pool checks 1-3
// (node/kv/pool/block_pool.h). Engine thread only.
//
//   1. The numbers of blocks in each state sum to the pool.
//   2. A block is free, cached or active exactly when it is on the free list, on the list of cached
//      blocks, or referenced.
//   3. All reserved blocks exist: they are free, or cached and can be evicted.
//   4. Every reference to a block is one use: in one live sequence's table or chain, or for a copy
//      to come. A block with two references is in the prefix cache, and no sequence writes to a
//      block that is in the prefix cache.
//   5. n_computed + n_inflight <= slots of the block table.
//   6. n_computed + n_inflight <= n_known + n_samples_inflight <= n_tokens_max (the second for
//      running sequences).
//   7. A running sequence's blocks and reserved blocks are at most what n_tokens_max needs, and
//      exactly that if its reservation is guaranteed, as it is after max_preemptions. A waiting
//      sequence has none. No sequence was preempted more than max_preemptions times.
//   8. At most min(max_seqs, max_tokens) sequences run, each in its own slot.
//   9. A step holds at most max_tokens tokens, and a row for every decoding sequence that may still
//      grow, except those that the step preempts.
//  10. The prefix cache's own invariants hold (node/kv/prefix/prefix_cache.h).
//  11. A sequence forwards at least one token of its context: n_cached < n_known.
//  12. While no sequence runs, no block is active or reserved.
//  13. The host tier's own invariants hold (node/kv/host/host_tier.h).
#pragma once

#include "node/engine/plan/scheduler.h"

namespace lockstep {

// Returns the number of the first invariant that does not hold, or 0. Without `full` it checks only
// what costs a few instructions per running sequence and no allocation: 1-3 in part, 5, 6, 8 in
// part, 11, 12.
int check_invariants(const Scheduler& scheduler, bool full);

// Checks invariant 9 of a schedule that is planned and not yet committed; returns 9 or 0.
int check_schedule(const Scheduler& scheduler, const Schedule& schedule);

}  // namespace lockstep
