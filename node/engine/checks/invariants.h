// The engine's invariants, numbered as in docs/engine.md. Pools check 1-3
// (node/kv/pool/block_pool.h):
//   1. blocks by state sum to the pool
//   2. a block is free, cached or active exactly when it is on the free list, on the list of cached
//      ones, or referenced
//   3. reserved blocks are there
//   4. every reference to a block is one use in one live sequence's table or chain, or for a copy
//      to come; what two share is kept, and what is kept is written to by nobody
//   5. n_computed + n_inflight <= slots of the table, in every KV group
//   6. n_computed + n_inflight <= tokens known + samples in flight <= n_tokens_max
//   7. a running sequence's blocks and reservations are at most what n_tokens_max needs, and no
//   less if
//      its reservation is guaranteed, as it is after max_preemptions; a waiting one has none;
//      neither was preempted more often than that
//   8. at most min(max_seqs, max_tokens) sequences run, each in a slot of its own
//   9. a step holds at most max_tokens tokens, and every decoding sequence that may still grow, but
//      for those that it sends back
//  10. the prefix cache's own (node/kv/prefix/prefix_cache.h)
//  11. a sequence forwards at least one token of what it has: n_cached < n_known
//  12. where nothing runs no block is active or reserved
//  13. the host tier's own (node/kv/host/host_tier.h)
#pragma once

#include "node/engine/plan/scheduler.h"

namespace lockstep {

// The number of the first invariant that does not hold, or 0. Without `full` only what costs a few
// instructions per running sequence and no allocation: 1-3 in part, 5, 6, 8 in part, 11, 12.
int check_invariants(const Scheduler& scheduler, bool full);

// 9, of a schedule that was planned and not yet committed.
int check_schedule(const Scheduler& scheduler, const Schedule& schedule);

}  // namespace lockstep
